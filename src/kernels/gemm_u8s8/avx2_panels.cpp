#include "kernels/gemm_u8s8/avx2_panels.h"

#include <cstring>

#include <immintrin.h>

#include "kernels/gemm_u8s8/gemm_u8s8.h"

namespace laconic::kernels {
namespace {

constexpr std::int64_t kColumns = 16;
constexpr std::int64_t kGroup = 4;
constexpr std::int64_t kMaxGroups = RoundUp(kMaxGemmU8S8K, kGroup) / kGroup;

// Columns of weights where they come from.
struct Columns {
  const std::int8_t* w;
  std::int64_t k_stride;
  std::int64_t n_stride;
  std::int64_t k;
  std::int64_t count;  // <= 16
};

// s8 [16][4]: columns 0 to 7 and 8 to 15.
struct Group {
  __m256i lo;
  __m256i hi;
};

inline __m128i Load16(const std::int8_t* p) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); }

// The group that starts at `w`, of columns that lie side by side.
inline Group LoadByRows(const std::int8_t* w, std::int64_t k_stride) {
  const __m128i row0 = Load16(w);
  const __m128i row1 = Load16(w + k_stride);
  const __m128i row2 = Load16(w + 2 * k_stride);
  const __m128i row3 = Load16(w + 3 * k_stride);
  const __m128i lo01 = _mm_unpacklo_epi8(row0, row1);
  const __m128i lo23 = _mm_unpacklo_epi8(row2, row3);
  const __m128i hi01 = _mm_unpackhi_epi8(row0, row1);
  const __m128i hi23 = _mm_unpackhi_epi8(row2, row3);
  return {_mm256_set_m128i(_mm_unpackhi_epi16(lo01, lo23), _mm_unpacklo_epi16(lo01, lo23)),
          _mm256_set_m128i(_mm_unpackhi_epi16(hi01, hi23), _mm_unpacklo_epi16(hi01, hi23))};
}

// The group of 4 k from p on; what lies beyond the columns or k is zero.
inline Group LoadGroup(const Columns& columns, std::int64_t p) {
  const std::int8_t* w = columns.w + p * columns.k_stride;
  const std::int64_t depth = columns.k - p < kGroup ? columns.k - p : kGroup;
  if (columns.n_stride == 1 && columns.count == kColumns && depth == kGroup) {
    return LoadByRows(w, columns.k_stride);
  }
  alignas(32) std::int8_t codes[kColumns * kGroup] = {};
  for (std::int64_t j = 0; j < columns.count; ++j) {
    const std::int8_t* column = w + j * columns.n_stride;
    if (columns.k_stride == 1 && depth == kGroup) {
      std::memcpy(codes + j * kGroup, column, kGroup);
      continue;
    }
    for (std::int64_t i = 0; i < depth; ++i) {
      codes[j * kGroup + i] = column[i * columns.k_stride];
    }
  }
  const auto* halves = reinterpret_cast<const __m256i*>(codes);
  return {_mm256_load_si256(halves), _mm256_load_si256(halves + 1)};
}

inline __m256i Reorder(__m256i columns, std::int64_t pairing) {
  std::int32_t order = 0;
  std::memcpy(&order, kAvx2Order[pairing], sizeof(order));
  const __m256i columns_start = _mm256_setr_epi32(0, 0x04040404, 0x08080808, 0x0C0C0C0C,  //
                                                  0, 0x04040404, 0x08080808, 0x0C0C0C0C);
  return _mm256_shuffle_epi8(columns, _mm256_add_epi8(columns_start, _mm256_set1_epi32(order)));
}

// What each pair of weights can add up to, as codes of 0 may leave either sign alone: u8 [16][2] in some order of the
// columns; the negative ones' magnitudes. Past 255 it is 255.
struct PairSums {
  __m256i positive;
  __m256i negative;
};

inline PairSums SumsOf(const Group& group, std::int64_t pairing) {
  const __m256i zero = _mm256_setzero_si256();
  const __m256i ones = _mm256_set1_epi8(1);
  const __m256i lo = Reorder(group.lo, pairing);
  const __m256i hi = Reorder(group.hi, pairing);
  const auto pairs_of = [&](__m256i magnitudes) { return _mm256_maddubs_epi16(magnitudes, ones); };
  const auto negated = [&](__m256i codes) { return _mm256_sub_epi8(zero, _mm256_min_epi8(codes, zero)); };
  return {_mm256_packus_epi16(pairs_of(_mm256_max_epi8(lo, zero)), pairs_of(_mm256_max_epi8(hi, zero))),
          _mm256_packus_epi16(pairs_of(negated(lo)), pairs_of(negated(hi)))};
}

// Whether 255 times each fits s16: 255 * 128 <= 32767 < 255 * 129.
inline bool Fits(const PairSums& sums) {
  const __m256i limit = _mm256_set1_epi8(static_cast<char>(128));
  const __m256i beyond = _mm256_subs_epu8(_mm256_max_epu8(sums.positive, sums.negative), limit);
  return _mm256_testz_si256(beyond, beyond) != 0;
}

inline PairSums Add(const PairSums& a, const PairSums& b) {
  return {_mm256_adds_epu8(a.positive, b.positive), _mm256_adds_epu8(a.negative, b.negative)};
}

inline PairSums Least(const PairSums& a, const PairSums& b) {
  return {_mm256_min_epu8(a.positive, b.positive), _mm256_min_epu8(a.negative, b.negative)};
}

// A safe group that has not found another yet.
struct Single {
  PairSums least;  // of all below, element by element
  PairSums sums[kAvx2Pairings];
  std::uint16_t order[kAvx2Pairings];  // what Avx2Panel::order says of it in each pairing
  std::int64_t count;                  // of the pairings in which it is safe, which come first
};

inline Single MakeSingle(const Group& group, std::int64_t index, std::int64_t num_whole) {
  Single single;
  single.count = 0;
  for (std::int64_t pairing = 0; pairing < kAvx2Pairings; ++pairing) {
    const PairSums sums = SumsOf(group, pairing);
    if (Fits(sums)) {
      single.least = single.count == 0 ? sums : Least(single.least, sums);
      single.sums[single.count] = sums;
      single.order[single.count] = static_cast<std::uint16_t>(index + pairing * num_whole);
      ++single.count;
    }
  }
  return single;
}

// Writes the orders in which the two are safe together, if there are such.
inline bool Join(const Single& a, const Single& b, std::uint16_t* order) {
  if (!Fits(Add(a.least, b.least))) {
    return false;
  }
  for (std::int64_t i = 0; i < a.count; ++i) {
    for (std::int64_t j = 0; j < b.count; ++j) {
      if (Fits(Add(a.sums[i], b.sums[j]))) {
        order[0] = a.order[i];
        order[1] = b.order[j];
        return true;
      }
    }
  }
  return false;
}

// Puts a panel's groups in order. Each safe one takes the first of those that wait with which it is safe; else it waits
// itself, in the place of another if too many do.
class Sorter {
 public:
  Sorter(std::int64_t k, std::uint16_t* order)
      : num_whole_(k / kGroup), end_(RoundUp(k, kGroup) / kGroup), order_(order) {}

  void Put(const Group& group, std::int64_t index) {
    const Single single = MakeSingle(group, index, num_whole_);
    if (index >= num_whole_ || single.count == 0) {
      order_[--end_] = static_cast<std::uint16_t>(index);
      return;
    }
    for (std::int64_t i = 0; i < num_waiting_; ++i) {
      if (Join(waiting_[i], single, order_ + num_joint_)) {
        num_joint_ += 2;
        waiting_[i] = waiting_[--num_waiting_];
        return;
      }
    }
    if (num_waiting_ == kMaxWaiting) {
      GiveUp(waiting_[next_]);
      waiting_[next_] = single;
      next_ = (next_ + 1) % kMaxWaiting;
      return;
    }
    waiting_[num_waiting_++] = single;
  }

  // num_joint and num_safe, once all are there.
  void Finish(std::uint16_t* num) {
    for (std::int64_t i = 0; i < num_waiting_; ++i) {
      GiveUp(waiting_[i]);
    }
    std::memcpy(order_ + num_joint_, alone_, static_cast<std::size_t>(num_alone_) * sizeof(*alone_));
    num[0] = static_cast<std::uint16_t>(num_joint_);
    num[1] = static_cast<std::uint16_t>(num_joint_ + num_alone_);
  }

 private:
  static constexpr std::int64_t kMaxWaiting = 64;

  void GiveUp(const Single& single) { alone_[num_alone_++] = single.order[0]; }

  std::int64_t num_whole_;
  std::int64_t end_;  // where the groups that are not safe begin
  std::int64_t num_joint_ = 0;
  std::int64_t num_alone_ = 0;
  std::int64_t num_waiting_ = 0;
  std::int64_t next_ = 0;
  std::uint16_t* order_;
  std::uint16_t alone_[kMaxGroups];
  Single waiting_[kMaxWaiting];
};

inline void WritePaired(const Group& group, std::int64_t pairing, std::int8_t* out) {
  auto* halves = reinterpret_cast<__m256i*>(out);
  _mm256_store_si256(halves, Reorder(group.lo, pairing));
  _mm256_store_si256(halves + 1, Reorder(group.hi, pairing));
}

// [16][4] -> [2][16][2].
inline void WriteByPairs(const Group& group, std::int8_t* out) {
  const auto by_pairs = [](__m256i columns) {
    const __m256i pairs = _mm256_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15,  //
                                           0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15);
    return _mm256_permute4x64_epi64(_mm256_shuffle_epi8(columns, pairs), 0xD8);
  };
  const __m256i lo = by_pairs(group.lo);
  const __m256i hi = by_pairs(group.hi);
  auto* halves = reinterpret_cast<__m256i*>(out);
  _mm256_store_si256(halves, _mm256_permute2x128_si256(lo, hi, 0x20));
  _mm256_store_si256(halves + 1, _mm256_permute2x128_si256(lo, hi, 0x31));
}

inline __m256i SumFours(__m256i codes) {
  return _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_set1_epi8(1), codes), _mm256_set1_epi16(1));
}

// sums: s32 [16].
void PackPanel(const Columns& columns, std::int32_t* sums, std::int8_t* weights) {
  const std::int64_t num_whole = columns.k / kGroup;
  const std::int64_t num_groups = RoundUp(columns.k, kGroup) / kGroup;
  auto* order = reinterpret_cast<std::uint16_t*>(weights + num_groups * kAvx2GroupBytes);
  __m256i lo = _mm256_setzero_si256();
  __m256i hi = _mm256_setzero_si256();
  Sorter sorter(columns.k, order);
  for (std::int64_t i = 0; i < num_groups; ++i) {
    const Group group = LoadGroup(columns, i * kGroup);
    lo = _mm256_add_epi32(lo, SumFours(group.lo));
    hi = _mm256_add_epi32(hi, SumFours(group.hi));
    sorter.Put(group, i);
  }
  std::uint16_t* num = order + num_groups;
  sorter.Finish(num);
  _mm256_store_si256(reinterpret_cast<__m256i*>(sums), lo);
  _mm256_store_si256(reinterpret_cast<__m256i*>(sums) + 1, hi);
  for (std::int64_t i = 0; i < num_groups; ++i, weights += kAvx2GroupBytes) {
    if (i < num[1]) {
      WritePaired(LoadGroup(columns, order[i] % num_whole * kGroup), order[i] / num_whole, weights);
    } else {
      WriteByPairs(LoadGroup(columns, order[i] * kGroup), weights);
    }
  }
}

}  // namespace

std::int64_t PackedBytesAvx2(std::int64_t k, std::int64_t n) noexcept {
  return SumsBytes(n, kColumns) + RoundUp(n, kColumns) / kColumns * Avx2PanelBytes(k);
}

void PackAvx2(std::int64_t k, std::int64_t n, const std::int8_t* w, std::int64_t k_stride, std::int64_t n_stride,
              void* packed) noexcept {
  std::memset(packed, 0, static_cast<std::size_t>(PackedBytesAvx2(k, n)));
  for (std::int64_t column = 0; column < n; column += kColumns) {
    const std::int64_t left = n - column;
    const Columns columns = {w + column * n_stride, k_stride, n_stride, k, left < kColumns ? left : kColumns};
    PackPanel(columns, static_cast<std::int32_t*>(packed) + column,
              static_cast<std::int8_t*>(packed) + SumsBytes(n, kColumns) + column / kColumns * Avx2PanelBytes(k));
  }
}

}  // namespace laconic::kernels
