#include "runtime/pack_store.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/json.h"
#include "base/sha256.h"
#include "laconic/error.h"

namespace laconic::runtime {
namespace {

constexpr std::string_view kFormat = "laconic packed weights 1\n";
constexpr std::size_t kDigestChars = 64;
constexpr std::int64_t kPage = 4096;

std::int64_t RoundUpToPage(std::int64_t bytes) { return (bytes + kPage - 1) / kPage * kPage; }

// At the speed of memory, where SHA-256 would take longer than the first answer. Four chains, since one would wait for
// its multiplications. Any change to one word changes it: odd factors and sums are bijections.
std::uint64_t Checksum(std::span<const std::byte> bytes) {
  constexpr std::uint64_t kFactor = 0x9e3779b97f4a7c15;
  std::array<std::uint64_t, 4> chains = {1, 2, 3, 4};
  std::size_t at = 0;
  for (; at + sizeof(chains) <= bytes.size(); at += sizeof(chains)) {
    std::array<std::uint64_t, 4> words;
    std::memcpy(words.data(), bytes.data() + at, sizeof(words));
    for (std::size_t i = 0; i < words.size(); ++i) {
      chains[i] = (chains[i] ^ words[i]) * kFactor;
    }
  }
  std::uint64_t sum = bytes.size();
  for (; at < bytes.size(); ++at) {
    sum = (sum ^ std::to_integer<std::uint64_t>(bytes[at])) * kFactor;
  }
  for (const std::uint64_t chain : chains) {
    sum = (sum ^ (chain >> 32) ^ chain) * kFactor;
  }
  return sum;
}

std::string_view TextOf(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

PackStore::PackStore(std::filesystem::path file) : file_(std::move(file)) {
  if (!Exists(file_)) {
    return;
  }
  mapped_ = MappedFile::Open(file_);
  try {
    ReadIndex();
  } catch (const Error&) {  // not what we wrote: it will be written anew
    index_.clear();
  } catch (const nlohmann::json::exception&) {
    index_.clear();
  }
}

void PackStore::ReadIndex() {
  std::string_view text = TextOf(mapped_->bytes());
  if (!text.starts_with(kFormat)) {
    return;
  }
  text.remove_prefix(kFormat.size());
  const std::size_t digest_end = text.find('\n');
  const std::size_t index_end = digest_end == text.npos ? text.npos : text.find('\n', digest_end + 1);
  if (digest_end != kDigestChars || index_end == text.npos) {
    return;
  }
  const std::string_view index = text.substr(digest_end + 1, index_end - digest_end - 1);
  if (Sha256Hex(std::as_bytes(std::span(index))) != text.substr(0, digest_end)) {
    return;
  }
  const auto file_bytes = static_cast<std::int64_t>(mapped_->bytes().size());
  const nlohmann::json entries = ParseJson(index);
  for (const auto& [key, entry] : entries.items()) {
    const Place place = {entry.at(0), entry.at(1), entry.at(2)};
    if (place.offset >= 0 && place.size_bytes >= 0 && place.offset % kPage == 0 && place.offset <= file_bytes &&
        place.size_bytes <= file_bytes - place.offset) {
      index_[key] = place;
    }
  }
}

PackedBytes PackStore::FindInFile(const std::string& key, std::int64_t size_bytes) const {
  const auto found = index_.find(key);
  if (found == index_.end() || found->second.size_bytes != size_bytes) {
    return {};
  }
  const std::span<const std::byte> bytes =
      mapped_->bytes().subspan(static_cast<std::size_t>(found->second.offset), static_cast<std::size_t>(size_bytes));
  if (Checksum(bytes) != found->second.checksum) {
    return {};
  }
  return {mapped_, bytes.data(), size_bytes};
}

PackedBytes PackStore::Make(std::int64_t size_bytes, const std::function<void(std::byte*)>& fill) {
  // All of a model's weights are read for each batch, a BERT-base's from 20,000 pages of 4 KB: side by side on huge
  // pages a short text is 5 % faster. Of a block's end only what is used takes memory, to the next 2 MB.
  constexpr std::int64_t kBlockBytes = 64 << 20;
  if (block_ == nullptr || block_->size_bytes() - block_used_bytes_ < size_bytes) {
    block_ = std::make_shared<const AlignedBytes>(AlignedBytes::OnHugePages(std::max(size_bytes, kBlockBytes)));
    block_used_bytes_ = 0;
  }
  std::byte* const data = block_->data() + block_used_bytes_;
  constexpr auto kAlignment = static_cast<std::int64_t>(AlignedBytes::kAlignment);
  block_used_bytes_ += (size_bytes + kAlignment - 1) / kAlignment * kAlignment;
  fill(data);
  return {block_, data, size_bytes};
}

PackedBytes PackStore::FindOrMake(const std::string& key, std::int64_t size_bytes,
                                  const std::function<void(std::byte*)>& fill, bool* is_new) {
  const auto used = key.empty() ? used_.end() : used_.find(key);
  *is_new = used == used_.end();
  if (!*is_new) {
    return used->second;
  }
  PackedBytes packed = key.empty() ? PackedBytes{} : FindInFile(key, size_bytes);
  if (packed.data == nullptr) {
    packed = Make(size_bytes, fill);
    is_stale_ = is_stale_ || !key.empty();
  }
  if (!key.empty()) {
    used_[key] = packed;
  }
  return packed;
}

void PackStore::Save() const {
  if (!is_stale_ || file_.empty()) {
    return;
  }
  // Room for the index, whatever its numbers.
  constexpr std::int64_t kMaxEntryChars = 160;
  const std::int64_t first = RoundUpToPage(static_cast<std::int64_t>(kFormat.size() + kDigestChars) +
                                           kMaxEntryChars * (1 + static_cast<std::int64_t>(used_.size())));
  nlohmann::json index = nlohmann::json::object();
  std::int64_t offset = first;
  for (const auto& [key, packed] : used_) {
    index[key] = {offset, packed.size_bytes, Checksum({packed.data, static_cast<std::size_t>(packed.size_bytes)})};
    offset = RoundUpToPage(offset + packed.size_bytes);
  }
  const std::string text = index.dump();
  RemoveAbandoned(file_);
  AtomicFile file(file_, true);
  file.Write(kFormat);
  file.Write(Sha256Hex(std::as_bytes(std::span(text))) + "\n" + text + "\n");
  const auto pad_to = [&](std::int64_t end) {
    file.Write(std::string(static_cast<std::size_t>(end - file.size_bytes()), '\0'));
  };
  pad_to(first);
  for (const auto& [key, packed] : used_) {
    file.Write(std::span(packed.data, static_cast<std::size_t>(packed.size_bytes)));
    pad_to(RoundUpToPage(file.size_bytes()));
  }
  file.Commit();
}

}  // namespace laconic::runtime
