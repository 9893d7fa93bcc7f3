// x * 0.5 * (1 + erf(x / sqrt 2)) and its tanh form, in every association and order: a product is taken apart into
// factors, and what stands inside erf or tanh is compared as a polynomial in x.
#include <array>
#include <cmath>
#include <numbers>

#include "passes/fusion/match.h"
#include "passes/fusion/passes.h"

namespace laconic::passes::fusion {
namespace {

constexpr std::size_t kNumPowers = 4;  // x^0 … x^3
using Polynomial = std::array<double, kNumPowers>;

std::optional<Polynomial> Multiply(const Polynomial& a, const Polynomial& b) {
  Polynomial product{};
  for (std::size_t i = 0; i < kNumPowers; ++i) {
    for (std::size_t j = 0; j < kNumPowers; ++j) {
      if (a[i] * b[j] == 0) continue;
      if (i + j >= kNumPowers) return std::nullopt;
      product[i + j] += a[i] * b[j];
    }
  }
  return product;
}

// `value` as a polynomial in `x`; null if it is none, or deeper than exporters nest it.
std::optional<Polynomial> AsPolynomial(const Draft& draft, ValueId value, ValueId x, int depth = 6) {
  if (value == x) return Polynomial{0, 1, 0, 0};
  if (const auto scalar = draft.Scalar(value)) return Polynomial{*scalar, 0, 0, 0};
  const Node* node = draft.Producer(value);
  if (node == nullptr || node->inputs.size() != 2 || depth == 0) return std::nullopt;
  const auto a = AsPolynomial(draft, node->inputs[0], x, depth - 1);
  const auto b = a ? AsPolynomial(draft, node->inputs[1], x, depth - 1) : std::nullopt;
  if (!b) return std::nullopt;
  const bool constant = (*b)[1] == 0 && (*b)[2] == 0 && (*b)[3] == 0;
  if (node->op == "Mul") return Multiply(*a, *b);
  if (node->op == "Div" && constant && (*b)[0] != 0) return Multiply(*a, {1 / (*b)[0], 0, 0, 0});
  if (node->op == "Pow" && constant && (*b)[0] == 2) return Multiply(*a, *a);
  if (node->op == "Pow" && constant && (*b)[0] == 3) {
    const auto square = Multiply(*a, *a);
    return square ? Multiply(*square, *a) : std::nullopt;
  }
  if (node->op != "Add") return std::nullopt;
  Polynomial sum{};
  for (std::size_t i = 0; i < kNumPowers; ++i) {
    sum[i] = (*a)[i] + (*b)[i];
  }
  return sum;
}

bool IsNearTo(const std::optional<Polynomial>& polynomial, const Polynomial& wanted) {
  if (!polynomial) return false;
  for (std::size_t i = 0; i < kNumPowers; ++i) {
    if (!IsNear((*polynomial)[i], wanted[i])) return false;
  }
  return true;
}

constexpr double kRootHalf = std::numbers::sqrt2 / 2;
const double kTanhScale = std::sqrt(2 / std::numbers::pi);
constexpr double kCubic = 0.044715;

// "none" or "tanh" where `value` is 1 + erf(…) or 1 + tanh(…) of `x`; null otherwise.
const char* FormOf(const Draft& draft, ValueId value, ValueId x) {
  const Node* sum = draft.Producer(value, "Add");
  if (sum == nullptr) return nullptr;
  for (const std::size_t side : {0U, 1U}) {
    const Node* curve = draft.Producer(sum->inputs[side]);
    if (curve == nullptr || draft.Scalar(sum->inputs[1 - side]) != 1.0) continue;
    if (curve->op == "Erf" && IsNearTo(AsPolynomial(draft, curve->inputs[0], x), {0, kRootHalf, 0, 0})) return "none";
    const Polynomial wanted = {0, kTanhScale, 0, kTanhScale * kCubic};
    if (curve->op == "Tanh" && IsNearTo(AsPolynomial(draft, curve->inputs[0], x), wanted)) return "tanh";
  }
  return nullptr;
}

// The factors of a product that are not numbers, and the product of those that are.
struct Factors {
  std::vector<ValueId> values;
  double number = 1;
};

void Collect(const Draft& draft, ValueId value, int depth, Factors* factors) {
  const Node* node = draft.Producer(value);
  if (const auto scaled = depth > 0 ? MatchScaled(draft, value) : std::nullopt) {
    factors->number *= scaled->factor;
    Collect(draft, scaled->x, depth - 1, factors);
  } else if (depth > 0 && node != nullptr && node->op == "Mul" && factors->values.size() < 3) {
    Collect(draft, node->inputs[0], depth - 1, factors);
    Collect(draft, node->inputs[1], depth - 1, factors);
  } else {
    factors->values.push_back(value);
  }
}

bool FuseOne(Draft* draft, const Node& node) {
  const ValueId value = node.outputs[0];
  Factors factors;
  Collect(*draft, value, 3, &factors);
  if (factors.values.size() != 2 || !IsNear(factors.number, 0.5)) return false;
  for (const std::size_t side : {0U, 1U}) {
    const ValueId x = factors.values[side];
    const char* form = FormOf(*draft, factors.values[1 - side], x);
    if (form == nullptr || !HaveSameShape(*draft, x, value)) continue;
    draft->Rewrite(value, "Gelu", {x}, {{"approximate", std::string(form)}});
    return true;
  }
  return false;
}

}  // namespace

bool FuseGelu(Draft* draft) {
  return RewriteEach(draft, [&](const Node& node) {
    const bool is_product = node.op == "Mul" || node.op == "Div";
    return is_product && draft->facts(node.outputs[0]).dtype == DType::kF32 && FuseOne(draft, node);
  });
}

}  // namespace laconic::passes::fusion
