#include <algorithm>
#include <limits>

#include "laconic/error.h"
#include "text/model.h"
#include "text/unicode.h"

namespace laconic::text {
namespace {

constexpr double kUnknownPenalty = 10.0;  // below the worst piece; SentencePiece's kUnkPenalty

DoubleArray MakeTrie(const std::vector<std::pair<std::string, double>>& pieces) {
  std::vector<std::pair<std::string_view, std::int32_t>> entries;
  entries.reserve(pieces.size());
  for (const auto& [piece, score] : pieces) {
    entries.emplace_back(piece, static_cast<std::int32_t>(entries.size()));
  }
  return DoubleArray(std::move(entries));
}

std::size_t CharBytes(char first) {
  const auto byte = static_cast<unsigned char>(first);
  return byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

}  // namespace

Unigram::Unigram(const std::vector<std::pair<std::string, double>>& pieces, std::int64_t unknown_id, bool byte_fallback)
    : trie_(MakeTrie(pieces)),
      unknown_score_(std::numeric_limits<double>::infinity()),
      unknown_id_(static_cast<std::int32_t>(unknown_id)) {
  if (unknown_id < 0 || unknown_id >= static_cast<std::int64_t>(pieces.size())) {
    Fail(ErrorCode::kInvalidFile, "unk_id ", unknown_id, " in a vocabulary of ", pieces.size());
  }
  scores_.reserve(pieces.size());
  for (const auto& [piece, score] : pieces) {
    scores_.push_back(score);
    unknown_score_ = std::min(unknown_score_, score);
  }
  unknown_score_ -= kUnknownPenalty;
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  for (std::size_t byte = 0; byte_fallback && byte < 256; ++byte) {
    byte_ids_.push_back(trie_.Find(std::string("<0x") + kDigits[byte / 16] + kDigits[byte % 16] + ">"));
  }
}

void Unigram::FindBestPaths(std::string_view piece, std::vector<BestPath>* best) const {
  best->assign(piece.size() + 1, {0.0, std::string_view::npos, 0});
  for (std::size_t begin = 0; begin < piece.size();) {
    const double score_here = (*best)[begin].score;
    // Of equal sums the first found stays, so the order of the candidates below is part of the definition.
    const auto offer = [&](std::size_t end, double score, std::int32_t id) {
      BestPath& path = (*best)[end];
      if (path.begin == std::string_view::npos || score + score_here > path.score) {
        path = {score + score_here, begin, id};
      }
    };
    const std::size_t char_end = begin + CharBytes(piece[begin]);
    bool char_is_piece = false;
    DoubleArray::Node node = DoubleArray::kRoot;
    for (std::size_t at = begin; at < piece.size(); ++at) {
      node = trie_.Step(node, piece[at]);
      if (node == DoubleArray::kNowhere) {
        break;
      }
      const std::int32_t id = EndsCharacter(piece, at) ? trie_.ValueAt(node) : -1;
      if (id >= 0) {
        offer(at + 1, scores_[static_cast<std::size_t>(id)], id);
        char_is_piece = char_is_piece || at + 1 == char_end;
      }
    }
    if (!char_is_piece) {
      offer(char_end, unknown_score_, unknown_id_);
    }
    begin = char_end;
  }
}

void Unigram::AppendToken(std::string_view token, std::vector<std::int32_t>* ids) const {
  const std::int32_t id = trie_.Find(token);
  const auto byte_id = [&](char byte) { return byte_ids_[static_cast<unsigned char>(byte)]; };
  if (id >= 0) {
    ids->push_back(id);
  } else if (!byte_ids_.empty() && std::ranges::all_of(token, [&](char byte) { return byte_id(byte) >= 0; })) {
    std::ranges::transform(token, std::back_inserter(*ids), byte_id);
  } else {
    ids->push_back(unknown_id_);
  }
}

void Unigram::Tokenize(std::string_view piece, ModelScratch* scratch, std::vector<std::int32_t>* ids) const {
  std::vector<BestPath>& best = scratch->best;
  FindBestPaths(piece, &best);
  // Turns the links around: best[p].begin becomes the end of the token that begins at p.
  std::size_t next = piece.size();
  std::int32_t next_id = 0;
  for (std::size_t at = piece.size(); at > 0;) {
    const std::size_t begin = best[at].begin;
    const std::int32_t id = best[at].id;
    best[at].begin = next;
    best[at].id = next_id;
    next = at;
    next_id = id;
    at = begin;
  }
  best[0].begin = next;
  best[0].id = next_id;
  for (std::size_t begin = 0; begin < piece.size();) {
    std::size_t end = best[begin].begin;
    if (best[begin].id != unknown_id_) {
      ids->push_back(best[begin].id);
    } else {
      while (end < piece.size() && best[end].id == unknown_id_) {  // unknown neighbours are one token
        end = best[end].begin;
      }
      AppendToken(piece.substr(begin, end - begin), ids);
    }
    begin = end;
  }
}

}  // namespace laconic::text
