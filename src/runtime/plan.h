// What the planner makes of a graph: steps over buffers. A text's tokens lie one after another without padding.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/aligned_bytes.h"
#include "kernels/isa.h"

namespace laconic::runtime {

// What one row of a buffer belongs to.
enum class Rows : std::uint8_t { kTokens, kTexts };

using BufferId = std::int32_t;

struct Buffer {
  Rows rows = Rows::kTokens;
  std::int64_t row_bytes = 0;
};

// Some columns of an f32 buffer.
struct Matrix {
  BufferId buffer = -1;
  std::int64_t column = 0;
  std::int64_t width = 0;
};

// Rows of bfloat16; an odd width has an element of 0 more.
struct BFloat16Matrix {
  BufferId buffer = -1;
  std::int64_t width = 0;
};

// One scale for all rows, known before.
struct StaticScale {
  float scale = 1;
  std::int32_t zero_point = 0;  // of u8
};

// Rows of u8 codes with their scale (f32) and zero point (s32).
struct QuantizedMatrix {
  BufferId codes = -1;
  BufferId scale = -1;
  BufferId zero_point = -1;
  std::int64_t width = 0;
  std::optional<StaticScale> fixed;  // that of every row, but of those that are NaN
};

inline std::vector<BufferId> BuffersOf(const QuantizedMatrix& matrix) {
  return {matrix.codes, matrix.scale, matrix.zero_point};
}

// The texts of one Run, flat.
struct Inputs {
  std::vector<std::int64_t> ids;           // [tokens]
  std::vector<std::int64_t> type_ids;      // [tokens]
  std::vector<std::int64_t> positions;     // [tokens]: 0, 1, … within each text
  std::vector<std::int64_t> zeros;         // [tokens]: for a table of one row
  std::vector<std::int64_t> starts = {0};  // [texts + 1]: text i is tokens starts[i] … starts[i + 1] - 1

  std::int64_t num_tokens() const noexcept { return starts.back(); }
  std::int64_t num_texts() const noexcept { return static_cast<std::int64_t>(starts.size()) - 1; }
  std::int64_t num_rows(Rows rows) const noexcept { return rows == Rows::kTokens ? num_tokens() : num_texts(); }
  std::int64_t longest_text() const noexcept;

  void Clear();
  // Room for as many: appending them then allocates nothing.
  void Reserve(std::int64_t num_tokens, std::int64_t num_texts);
  // type_ids: as many as ids, or none for zeros.
  void Append(std::span<const std::int32_t> ids, std::span<const std::int32_t> type_ids);
  // A text of another batch.
  void Append(const Inputs& from, std::int64_t text);
};

// Where each buffer lies for the caller's part of the work.
class Memory {
 public:
  struct Place {
    std::byte* data = nullptr;
    std::int64_t row_bytes = 0;
    bool is_chunk = false;  // holds the rows of one chunk only
  };
  std::vector<Place>& places() noexcept { return places_; }
  // The row that places of one chunk hold first.
  void StartChunk(std::int64_t first_row) noexcept { first_row_ = first_row; }

  template <typename T>
  T* Row(BufferId buffer, std::int64_t row) const {
    const Place& place = places_[static_cast<std::size_t>(buffer)];
    return reinterpret_cast<T*>(place.data + (row - (place.is_chunk ? first_row_ : 0)) * place.row_bytes);
  }
  float* Row(const Matrix& matrix, std::int64_t row) const { return Row<float>(matrix.buffer, row) + matrix.column; }
  std::int64_t Stride(const Matrix& matrix) const {
    return places_[static_cast<std::size_t>(matrix.buffer)].row_bytes / static_cast<std::int64_t>(sizeof(float));
  }
  std::int64_t RowBytes(BufferId buffer) const { return places_[static_cast<std::size_t>(buffer)].row_bytes; }

 private:
  std::vector<Place> places_;
  std::int64_t first_row_ = 0;
};

// A part of a step's work: rows begin … end - 1 and of those the share `part` of `num_parts`, which a step may cut by
// rows or by columns. The result does not depend on the cut.
struct Work {
  std::int64_t begin = 0;
  std::int64_t end = 0;
  int part = 0;
  int num_parts = 1;
};

class Step {
 public:
  virtual ~Step() = default;
  Rows rows() const noexcept { return rows_; }  // what the rows of Work are
  const std::vector<BufferId>& reads() const noexcept { return reads_; }
  const std::vector<BufferId>& writes() const noexcept { return writes_; }

  virtual void Run(const Inputs& inputs, const Memory& memory, const Work& work) const = 0;
  virtual std::string Describe() const = 0;

  // Steps that read other rows than the ones they write run alone: one task a unit of NumTasks().
  virtual bool is_row_wise() const { return true; }
  virtual std::int64_t NumTasks(const Inputs&) const { return 0; }
  virtual std::int64_t ScratchBytes(std::int64_t /*longest_text*/) const { return 0; }  // a thread
  virtual void RunTask(const Inputs&, const Memory&, std::int64_t /*task*/, std::byte* /*scratch*/) const {}

 protected:
  Step(Rows rows, std::vector<BufferId> reads, std::vector<BufferId> writes)
      : rows_(rows), reads_(std::move(reads)), writes_(std::move(writes)) {}

 private:
  Rows rows_;
  std::vector<BufferId> reads_;
  std::vector<BufferId> writes_;
};

// Steps first … last - 1 that a thread can take through together, a chunk of rows at a time; or one that runs alone.
struct Segment {
  std::size_t first = 0;
  std::size_t last = 0;
};

class TapSink;

struct Plan {
  std::vector<Buffer> buffers;
  std::vector<std::unique_ptr<const Step>> steps;
  Matrix output;                   // a row a text
  std::int64_t max_positions = 0;  // tokens of a text that its position table and steps allow; 0: any
  std::int64_t num_ids = 0;        // rows of the smallest word table; 0: none
  std::int64_t num_types = 0;      // of the smallest token type table; 0: none
  std::int64_t memory_bytes = 0;   // weights as held
  std::int64_t linear_bytes = 0;   // of these the linear layers', which are read from end to end
  TapSink* tap_sink = nullptr;     // is told of batches; null: no taps

  // Made by FinishPlan:
  std::vector<Segment> segments;
  // From this segment on all take rows of texts alone, and read of those before them `handed_on`, rows of texts too.
  std::size_t text_segments = 0;
  std::vector<BufferId> handed_on;
  std::vector<bool> is_local;      // of each buffer: used within one segment only, so that a chunk of rows is enough
  std::vector<std::int32_t> slot;  // of each buffer: buffers that are never alive together share one
  std::vector<Buffer> slots;
  std::vector<bool> slot_is_local;
};

// For max_positions, num_ids and num_types: the smallest limit counts.
inline void LimitTo(std::int64_t most, std::int64_t* limit) { *limit = *limit == 0 ? most : std::min(*limit, most); }

// Finds the segments, and which buffers may share memory.
void FinishPlan(Plan* plan);

// Every step, under the rows that a thread takes through it at a time, and how much memory a row needs.
std::string PrintPlan(const Plan& plan);

}  // namespace laconic::runtime
