// The part of a tokenizer that cuts one piece of normalized text into vocabulary ids.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/double_array.h"

namespace laconic::text {

// What a piece's best segmentation ends in, one byte position each.
struct BestPath {
  double score;
  std::size_t begin;  // of the last token; npos: the position is not reached
  std::int32_t id;
};

// A token of a word that is being merged.
struct BpeSymbol {
  std::int32_t token = -1;  // -1: merged into the one before it
  std::int32_t previous = -1;
  std::int32_t next = -1;
  std::int32_t rank = -1;  // of the merge with the next; -1: none
};

// Two neighbours that may become one token: their merge's rank, then the position of the left one.
using BpeCandidate = std::uint64_t;

// Memory that calls reuse.
struct ModelScratch {
  std::vector<BestPath> best;
  std::vector<BpeSymbol> symbols;
  std::vector<BpeCandidate> candidates;
};

// Immutable; a call writes only to its scratch and output.
class Model {
 public:
  virtual ~Model() = default;

  // Appends the ids of `piece`, which is not empty.
  virtual void Tokenize(std::string_view piece, ModelScratch* scratch, std::vector<std::int32_t>* ids) const = 0;
  // The token's id, or -1.
  virtual std::int32_t Find(std::string_view token) const = 0;
  // How many different tokens: added tokens are numbered from here.
  virtual std::int64_t num_tokens() const = 0;
  virtual std::int32_t largest_id() const = 0;
};

using Vocabulary = std::vector<std::pair<std::string, std::int32_t>>;  // of equal tokens the last one's id holds

// Greedy longest match first. Source: Devlin et al. 2018; limits and fallbacks as Hugging Face's.
class WordPiece : public Model {
 public:
  struct Options {
    std::string unknown_token = "[UNK]";
    std::string continuing_prefix = "##";
    std::int64_t max_chars_per_word = 100;  // longer words are unknown
  };
  // Errors: kInvalidFile if the unknown token is not in the vocabulary.
  WordPiece(const Vocabulary& vocabulary, const Options& options);

  void Tokenize(std::string_view piece, ModelScratch* scratch, std::vector<std::int32_t>* ids) const override;
  std::int32_t Find(std::string_view token) const override { return trie_.Find(token); }
  std::int64_t num_tokens() const override { return trie_.num_keys(); }
  std::int32_t largest_id() const override { return largest_id_; }

 private:
  DoubleArray trie_;
  DoubleArray::Node continuing_;  // where every token that continues a word begins
  std::int32_t unknown_id_;
  std::int64_t max_chars_;
  std::int32_t largest_id_;
};

// The segmentation of the highest sum of scores. Source: Kudo 2018; ties, unknown characters and their fusion as
// Hugging Face's.
class Unigram : public Model {
 public:
  // Ids are positions. Errors: kInvalidFile for an `unknown_id` outside the vocabulary.
  Unigram(const std::vector<std::pair<std::string, double>>& pieces, std::int64_t unknown_id, bool byte_fallback);

  void Tokenize(std::string_view piece, ModelScratch* scratch, std::vector<std::int32_t>* ids) const override;
  std::int32_t Find(std::string_view token) const override { return trie_.Find(token); }
  std::int64_t num_tokens() const override { return static_cast<std::int64_t>(scores_.size()); }
  std::int32_t largest_id() const override { return static_cast<std::int32_t>(scores_.size()) - 1; }

 private:
  void FindBestPaths(std::string_view piece, std::vector<BestPath>* best) const;
  // Appends the id of one token's text; of text that is no token, its bytes' ids or the unknown id.
  void AppendToken(std::string_view token, std::vector<std::int32_t>* ids) const;

  DoubleArray trie_;
  std::vector<double> scores_;
  double unknown_score_;
  std::int32_t unknown_id_;
  std::vector<std::int32_t> byte_ids_;  // 256 of them with byte fallback, -1 where the vocabulary has none; else empty
};

using BpeMerges = std::vector<std::pair<std::string, std::string>>;

// Merges the pair of neighbours that was learned first, again and again. Source: Sennrich et al. 2016; order, unknown
// characters and affixes as Hugging Face's (src/models/bpe). A word of n characters takes O(n log n).
class Bpe : public Model {
 public:
  static constexpr std::size_t kMaxAffixBytes = 15;
  struct Options {
    std::optional<std::string> unknown_token;  // none: an unknown character leaves no token
    std::string continuing_prefix;             // before each character of a word but the first; ASCII, kMaxAffixBytes
    std::string word_suffix;                   // after its last; likewise
    bool fuse_unknown = false;                 // unknown neighbours are one token
    bool byte_fallback = false;                // an unknown character is its bytes' tokens "<0x0A>" where all exist
    bool ignore_merges = false;                // a word that is a token is not cut
  };
  // Errors: kInvalidFile naming a merge of which a token is not in the vocabulary.
  Bpe(const Vocabulary& vocabulary, const BpeMerges& merges, Options options);

  // Errors: kInvalidFile for an unknown character if the unknown token is unknown too.
  void Tokenize(std::string_view piece, ModelScratch* scratch, std::vector<std::int32_t>* ids) const override;
  std::int32_t Find(std::string_view token) const override;
  std::int64_t num_tokens() const override { return trie_.num_keys(); }
  std::int32_t largest_id() const override { return ids_.empty() ? -1 : ids_.back(); }

 private:
  struct Merge {
    std::int32_t left;
    std::int32_t right;
    std::int32_t rank;
  };

  void ReadMerges(const BpeMerges& merges);
  std::size_t BucketOf(std::int32_t left, std::int32_t right) const;
  std::int32_t FindRank(std::int32_t left, std::int32_t right) const;  // -1: there is no merge
  bool AppendBytes(std::string_view bytes, std::vector<BpeSymbol>* symbols) const;
  void SplitCharacters(std::string_view piece, std::vector<BpeSymbol>* symbols) const;
  void MergeSymbols(ModelScratch* scratch) const;

  // Inside, a token is the place of its id among all ids: files may number their tokens as they like.
  Options options_;
  std::vector<std::int32_t> ids_;  // sorted
  DoubleArray trie_;
  DoubleArray::Node continuing_;           // where every token that continues a word begins
  std::int32_t unknown_;                   // -1: not in the vocabulary
  std::vector<std::int32_t> byte_tokens_;  // 256 of them with byte fallback, else empty
  int bucket_bits_ = 0;
  std::vector<std::int32_t> bucket_begin_;  // merges_ of bucket b: bucket_begin_[b] … bucket_begin_[b + 1] - 1
  std::vector<Merge> merges_;               // each bucket sorted by its pairs
  std::vector<std::int32_t> merged_;        // by rank: the token that it makes
};

}  // namespace laconic::text
