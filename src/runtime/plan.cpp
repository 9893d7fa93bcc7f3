#include "runtime/plan.h"

#include <algorithm>
#include <limits>

#include <fmt/format.h>

namespace laconic::runtime {
namespace {

struct Lifetime {
  std::size_t first = std::numeric_limits<std::size_t>::max();
  std::size_t last = 0;
};

std::vector<Lifetime> FindLifetimes(const Plan& plan) {
  std::vector<Lifetime> lifetimes(plan.buffers.size());
  const auto touch = [&](const std::vector<BufferId>& buffers, std::size_t step) {
    for (const BufferId buffer : buffers) {
      Lifetime& lifetime = lifetimes[static_cast<std::size_t>(buffer)];
      lifetime.first = std::min(lifetime.first, step);
      lifetime.last = std::max(lifetime.last, step);
    }
  };
  for (std::size_t i = 0; i < plan.steps.size(); ++i) {
    touch(plan.steps[i]->reads(), i);
    touch(plan.steps[i]->writes(), i);
  }
  // Read after the last step.
  lifetimes[static_cast<std::size_t>(plan.output.buffer)].last = plan.steps.size();
  return lifetimes;
}

std::vector<Segment> FindSegments(const Plan& plan) {
  std::vector<Segment> segments;
  for (std::size_t i = 0; i < plan.steps.size(); ++i) {
    const Step& step = *plan.steps[i];
    const bool joins =
        i > 0 && step.is_row_wise() && plan.steps[i - 1]->is_row_wise() && step.rows() == plan.steps[i - 1]->rows();
    if (joins) {
      segments.back().last = i + 1;
    } else {
      segments.push_back({i, i + 1});
    }
  }
  return segments;
}

// Within a segment, threads are at different steps at the same time: a buffer that all rows share must outlive the
// whole segment. A local one belongs to a thread and may be given up at its last step.
Lifetime WidenToSegments(const std::vector<Segment>& segments, Lifetime lifetime) {
  for (const Segment& segment : segments) {
    if (segment.first <= lifetime.first && lifetime.first < segment.last) {
      lifetime.first = segment.first;
    }
    if (segment.first <= lifetime.last && lifetime.last < segment.last) {
      lifetime.last = segment.last - 1;
    }
  }
  return lifetime;
}

bool IsLocal(const std::vector<Segment>& segments, const std::vector<std::unique_ptr<const Step>>& steps,
             const Lifetime& lifetime) {
  return std::ranges::any_of(segments, [&](const Segment& segment) {
    return segment.first <= lifetime.first && lifetime.last < segment.last && steps[segment.first]->is_row_wise();
  });
}

void FindTextSegments(const std::vector<Lifetime>& lifetimes, Plan* plan) {
  std::size_t segment = plan->segments.size();
  const auto takes_texts = [&](const Segment& candidate) {
    const Step& step = *plan->steps[candidate.first];
    return step.is_row_wise() && step.rows() == Rows::kTexts;
  };
  while (segment > 0 && takes_texts(plan->segments[segment - 1])) {
    --segment;
  }
  plan->text_segments = segment;
  const std::size_t step = segment < plan->segments.size() ? plan->segments[segment].first : plan->steps.size();
  for (std::size_t i = 0; i < lifetimes.size(); ++i) {
    if (lifetimes[i].first < step && step <= lifetimes[i].last) {
      plan->handed_on.push_back(static_cast<BufferId>(i));
    }
  }
  const auto is_of_texts = [&](BufferId id) {
    return plan->buffers[static_cast<std::size_t>(id)].rows == Rows::kTexts;
  };
  if (!std::ranges::all_of(plan->handed_on, is_of_texts)) {  // pooling reads rows of tokens
    plan->text_segments = plan->segments.size();
    plan->handed_on = {plan->output.buffer};
  }
}

}  // namespace

std::int64_t Inputs::longest_text() const noexcept {
  std::int64_t longest = 0;
  for (std::size_t i = 1; i < starts.size(); ++i) {
    longest = std::max(longest, starts[i] - starts[i - 1]);
  }
  return longest;
}

void Inputs::Clear() {
  for (auto* tokens : {&ids, &type_ids, &positions, &zeros}) {
    tokens->clear();
  }
  starts.assign(1, 0);
}

void Inputs::Reserve(std::int64_t num_tokens, std::int64_t num_texts) {
  for (auto* tokens : {&ids, &type_ids, &positions, &zeros}) {
    tokens->reserve(static_cast<std::size_t>(num_tokens));
  }
  starts.reserve(static_cast<std::size_t>(num_texts) + 1);
}

void Inputs::Append(std::span<const std::int32_t> new_ids, std::span<const std::int32_t> new_type_ids) {
  for (std::size_t i = 0; i < new_ids.size(); ++i) {
    ids.push_back(new_ids[i]);
    type_ids.push_back(new_type_ids.empty() ? 0 : new_type_ids[i]);
    positions.push_back(static_cast<std::int64_t>(i));
    zeros.push_back(0);
  }
  starts.push_back(static_cast<std::int64_t>(ids.size()));
}

void Inputs::Append(const Inputs& from, std::int64_t text) {
  const auto i = static_cast<std::size_t>(text);
  const auto copy = [&](std::vector<std::int64_t> Inputs::*tokens) {
    const auto first = (from.*tokens).begin();
    (this->*tokens).insert((this->*tokens).end(), first + from.starts[i], first + from.starts[i + 1]);
  };
  for (const auto tokens : {&Inputs::ids, &Inputs::type_ids, &Inputs::positions, &Inputs::zeros}) {
    copy(tokens);
  }
  starts.push_back(static_cast<std::int64_t>(ids.size()));
}

void FinishPlan(Plan* plan) {
  plan->segments = FindSegments(*plan);
  const std::vector<Lifetime> lifetimes = FindLifetimes(*plan);
  FindTextSegments(lifetimes, plan);
  std::vector<std::size_t> free_after;  // of each slot: the last step that uses it
  std::vector<std::size_t> order(plan->buffers.size());
  for (std::size_t i = 0; i < order.size(); ++i) {
    order[i] = i;
  }
  std::ranges::stable_sort(order, {}, [&](std::size_t i) { return lifetimes[i].first; });
  plan->is_local.assign(plan->buffers.size(), false);
  plan->slot.assign(plan->buffers.size(), -1);
  for (const std::size_t i : order) {
    const Buffer& buffer = plan->buffers[i];
    const bool local = IsLocal(plan->segments, plan->steps, lifetimes[i]);
    const Lifetime lifetime = local ? lifetimes[i] : WidenToSegments(plan->segments, lifetimes[i]);
    plan->is_local[i] = local;
    std::size_t best = plan->slots.size();
    for (std::size_t s = 0; s < plan->slots.size(); ++s) {
      const bool fits = plan->slots[s].rows == buffer.rows && plan->slot_is_local[s] == local &&
                        plan->slots[s].row_bytes >= buffer.row_bytes && free_after[s] < lifetime.first;
      if (fits && (best == plan->slots.size() || plan->slots[s].row_bytes < plan->slots[best].row_bytes)) {
        best = s;
      }
    }
    if (best == plan->slots.size()) {
      plan->slots.push_back(buffer);
      plan->slot_is_local.push_back(local);
      free_after.push_back(0);
    }
    free_after[best] = lifetime.last;
    plan->slot[i] = static_cast<std::int32_t>(best);
  }
}

namespace {

// The sizes of a kind's slots, in bytes a row.
std::string PrintSlots(const Plan& plan, Rows rows, bool is_local) {
  std::vector<std::int64_t> sizes;
  for (std::size_t slot = 0; slot < plan.slots.size(); ++slot) {
    if (plan.slots[slot].rows == rows && plan.slot_is_local[slot] == is_local) {
      sizes.push_back(plan.slots[slot].row_bytes);
    }
  }
  return sizes.empty() ? ""
                       : fmt::format("  each {}{}: {} bytes\n", rows == Rows::kTokens ? "token" : "text",
                                     is_local ? " of a thread's chunk" : "", fmt::join(sizes, " + "));
}

}  // namespace

std::string PrintPlan(const Plan& plan) {
  std::string text;
  for (const Segment& segment : plan.segments) {
    const Step& first = *plan.steps[segment.first];
    text += first.is_row_wise()
                ? fmt::format("for each chunk of {}\n", first.rows() == Rows::kTokens ? "tokens" : "texts")
                : "for each task\n";
    for (std::size_t i = segment.first; i < segment.last; ++i) {
      text += "  " + plan.steps[i]->Describe() + "\n";
    }
  }
  text += "buffers\n";
  for (const Rows rows : {Rows::kTokens, Rows::kTexts}) {
    for (const bool is_local : {false, true}) {
      text += PrintSlots(plan, rows, is_local);
    }
  }
  return text;
}

}  // namespace laconic::runtime
