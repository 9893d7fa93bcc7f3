#include "passes/fusion/size.h"

#include <algorithm>

namespace laconic::passes::fusion {

Size::Size(std::int64_t number) : known_(true) { AddTerm({}, number); }

Size Size::Named(std::string name) {
  Size size(0);
  size.AddTerm({std::move(name)}, 1);
  return size;
}

void Size::AddTerm(const Names& names, std::int64_t coefficient) {
  const auto found = terms_.try_emplace(names, 0).first;
  known_ = known_ && !__builtin_add_overflow(found->second, coefficient, &found->second) &&
           names.size() <= kMaxFactors && terms_.size() <= kMaxTerms;
  if (found->second == 0) {
    terms_.erase(found);
  }
  if (!known_) {
    terms_.clear();
  }
}

std::optional<std::int64_t> Size::number() const {
  if (!known_ || terms_.size() > 1 || (terms_.size() == 1 && !terms_.begin()->first.empty())) {
    return std::nullopt;
  }
  return terms_.empty() ? 0 : terms_.begin()->second;
}

bool Size::IsNatural() const {
  return known_ && std::ranges::all_of(terms_, [](const auto& term) { return term.second >= 0; });
}

std::optional<std::int64_t> Size::Evaluate(const std::map<std::string, std::int64_t, std::less<>>& sizes) const {
  std::int64_t sum = 0;
  bool fits = known_;
  for (const auto& [names, coefficient] : terms_) {
    std::int64_t product = coefficient;
    for (const std::string& name : names) {
      const auto found = sizes.find(name);
      fits = fits && found != sizes.end() && !__builtin_mul_overflow(product, found->second, &product);
    }
    fits = fits && !__builtin_add_overflow(sum, product, &sum);
  }
  return fits ? std::optional(sum) : std::nullopt;
}

Dim Size::ToDim() const {
  if (!known_) {
    return {kUnknownDim};
  }
  if (const auto fixed = number()) {
    return *fixed >= 0 ? Dim(*fixed) : Dim(kUnknownDim);
  }
  std::string text;
  for (const auto& [names, coefficient] : terms_) {
    text += text.empty() ? "" : " + ";
    text += coefficient == 1 && !names.empty() ? "" : std::to_string(coefficient) + (names.empty() ? "" : " * ");
    for (const std::string& name : names) {
      text += (&name == names.data() ? "" : " * ") + name;
    }
  }
  return {text};
}

bool SameSize(const Size& a, const Size& b) { return a.known_ && b.known_ && a.terms_ == b.terms_; }

Size operator+(const Size& a, const Size& b) {
  if (!a.known_ || !b.known_) {
    return {};
  }
  Size sum = a;
  for (const auto& [names, coefficient] : b.terms_) {
    sum.AddTerm(names, coefficient);
  }
  return sum;
}

Size operator-(const Size& a, const Size& b) { return a + b * Size(-1); }

Size operator*(const Size& a, const Size& b) {
  if (!a.known_ || !b.known_) {
    return {};
  }
  Size product(0);
  for (const auto& [a_names, a_coefficient] : a.terms_) {
    for (const auto& [b_names, b_coefficient] : b.terms_) {
      Size::Names names;
      std::ranges::merge(a_names, b_names, std::back_inserter(names));
      std::int64_t coefficient = 0;
      if (__builtin_mul_overflow(a_coefficient, b_coefficient, &coefficient)) {
        return {};
      }
      product.AddTerm(names, coefficient);
    }
  }
  return product;
}

Size Quotient(const Size& a, const Size& b) {
  if (!a.known_ || !b.known_ || b.terms_.empty()) {
    return {};
  }
  if (SameSize(a, b)) {
    return 1;
  }
  if (b.terms_.size() > 1) {
    return {};
  }
  const auto& [divisor_names, divisor] = *b.terms_.begin();
  Size quotient(0);
  for (const auto& [names, coefficient] : a.terms_) {
    if (divisor == -1 || coefficient % divisor != 0 || !std::ranges::includes(names, divisor_names)) {
      return {};
    }
    Size::Names rest;
    std::ranges::set_difference(names, divisor_names, std::back_inserter(rest));
    quotient.AddTerm(rest, coefficient / divisor);
  }
  return quotient;
}

bool SameSizes(const Sizes& a, const Sizes& b) { return std::ranges::equal(a, b, SameSize); }

Size Product(const Sizes& sizes) {
  Size product(1);
  for (const Size& size : sizes) {
    product = product * size;
  }
  return product;
}

}  // namespace laconic::passes::fusion
