#include "text/double_array.h"

#include <algorithm>
#include <limits>
#include <span>

#include "laconic/error.h"

namespace laconic::text {

// Places the children of one node after the other, each family in the first free cells that fit it.
class DoubleArray::Builder {
 public:
  using Entry = std::pair<std::string_view, std::int32_t>;

  Builder(std::span<const Entry> entries, std::vector<Cell>* cells) : entries_(entries), cells_(*cells) {}

  void Run() {
    Grow(1);
    cells_[0].parent = std::numeric_limits<std::int32_t>::max();  // taken, and nobody's child
    std::vector<Family> pending = {{kRoot, 0, entries_.size(), 0}};
    while (!pending.empty()) {
      const Family family = pending.back();
      pending.pop_back();
      Place(family, &pending);
    }
    Grow(cells_.size() + kNumLabels);
    cells_.shrink_to_fit();
  }

 private:
  // The entries [begin, end) share their first `depth` bytes and meet at `node`.
  struct Family {
    Node node;
    std::size_t begin;
    std::size_t end;
    std::size_t depth;
  };
  struct Group {
    std::int32_t label;
    std::size_t begin;
    std::size_t end;
  };

  std::int32_t LabelAt(std::size_t entry, std::size_t depth) const {
    const std::string_view key = entries_[entry].first;
    return depth == key.size() ? kEnd : static_cast<std::int32_t>(static_cast<unsigned char>(key[depth])) + 1;
  }

  void Place(const Family& family, std::vector<Family>* pending) {
    groups_.clear();
    for (std::size_t i = family.begin; i < family.end; ++i) {
      const std::int32_t label = LabelAt(i, family.depth);
      if (groups_.empty() || groups_.back().label != label) {
        groups_.push_back({label, i, i});
      }
      groups_.back().end = i + 1;
    }
    if (groups_.empty()) {
      return;
    }
    const std::int32_t base = FindBase();
    cells_[static_cast<std::size_t>(family.node)].base = base;
    for (const Group& group : groups_) {
      const Node child = base + group.label;
      cells_[static_cast<std::size_t>(child)].parent = family.node;
      if (group.label == kEnd) {
        cells_[static_cast<std::size_t>(child)].base = entries_[group.end - 1].second;
      } else {
        pending->push_back({child, group.begin, group.end, family.depth + 1});
      }
    }
  }

  bool IsFree(std::size_t at) const { return at >= cells_.size() || cells_[at].parent < 0; }

  // Trying only a window of cells keeps building linear: cells left behind are few and stay empty.
  std::int32_t FindBase() {
    constexpr std::size_t kMaxTries = 64;
    while (!IsFree(first_free_)) {
      ++first_free_;
    }
    const auto first_label = static_cast<std::size_t>(groups_.front().label);
    const auto last_label = static_cast<std::size_t>(groups_.back().label);
    std::size_t tries = 0;
    for (std::size_t at = std::max(first_free_, first_label);; ++at) {
      if (!IsFree(at)) {
        continue;
      }
      const std::size_t base = at - first_label;
      const bool fits = std::ranges::all_of(
          groups_, [&](const Group& group) { return IsFree(base + static_cast<std::size_t>(group.label)); });
      if (fits) {
        Grow(base + last_label + 1);
        return static_cast<std::int32_t>(base);
      }
      if (++tries == kMaxTries) {
        first_free_ = std::max(first_free_, at - kMaxTries / 2);
      }
    }
  }

  void Grow(std::size_t size) {
    if (size + kNumLabels > static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max())) {
      Fail(ErrorCode::kResource, "a vocabulary of more than 2^31 trie nodes");
    }
    if (size > cells_.size()) {
      cells_.resize(size);
    }
  }

  std::span<const Entry> entries_;
  std::vector<Cell>& cells_;
  std::vector<Group> groups_;
  std::size_t first_free_ = 1;
};

DoubleArray::DoubleArray(std::vector<std::pair<std::string_view, std::int32_t>> entries) {
  std::ranges::stable_sort(entries, {}, &std::pair<std::string_view, std::int32_t>::first);
  for (std::size_t i = 0; i < entries.size(); ++i) {
    num_keys_ += i == 0 || entries[i].first != entries[i - 1].first ? 1 : 0;
  }
  Builder(entries, &cells_).Run();
}

DoubleArray::Node DoubleArray::Walk(Node node, std::string_view bytes) const noexcept {
  for (std::size_t i = 0; i < bytes.size() && node != kNowhere; ++i) {
    node = Step(node, bytes[i]);
  }
  return node;
}

}  // namespace laconic::text
