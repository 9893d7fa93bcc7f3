// For tools/text/check_against_hf.py and benchmarks/tokenizing.py: reads frames from standard input, u32 and bytes that
// follow their u32 size, and answers each on standard output.
//   {1, max_length, text}, {2, max_length, text, text}: {i32 status, i32 num_ids, ids, type_ids}; status 0 or 1
//     (truncated), -1: an error, whose message goes to standard error
//   {3, 0, path}: loads the tokenizer.json or directory of that name; {status, 0}
//   {4, max_length, count, texts}: encodes all, one after the other; {i64 nanoseconds of processor time, i64 num_ids}
// A last line on standard error says how long frames 1 and 2 took in all.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <exception>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/file.h"
#include "laconic/error.h"
#include "laconic/tokenizer.h"

namespace {

bool ReadU32(std::uint32_t* value) { return std::fread(value, sizeof *value, 1, stdin) == 1; }

std::string ReadBytes() {
  std::uint32_t size = 0;
  ReadU32(&size);
  std::string bytes(size, '\0');
  if (std::fread(bytes.data(), 1, size, stdin) != size) {
    laconic::Fail(laconic::ErrorCode::kInvalidArgument, "standard input ended inside a frame");
  }
  return bytes;
}

void Write(const std::vector<std::int32_t>& values) {
  std::fwrite(values.data(), sizeof(std::int32_t), values.size(), stdout);
}

void WriteResult(std::int32_t status, const laconic::Encoding& encoding) {
  Write({status, static_cast<std::int32_t>(encoding.ids.size())});
  Write(encoding.ids);
  Write(encoding.type_ids);
}

laconic::Tokenizer Load(const std::filesystem::path& path) {
  return std::filesystem::is_directory(path)
             ? laconic::Tokenizer::FromDirectory(path)
             : laconic::Tokenizer::FromJson(laconic::ReadFile(path, std::int64_t{1} << 30));
}

void Measure(const laconic::Tokenizer& tokenizer, std::uint32_t max_length) {
  std::uint32_t count = 0;
  ReadU32(&count);
  std::vector<std::string> texts;
  for (std::uint32_t i = 0; i < count; ++i) {
    texts.push_back(ReadBytes());
  }
  std::int64_t num_ids = 0;
  const std::clock_t start = std::clock();  // processor time: whatever else the machine does counts less
  for (const std::string& text : texts) {
    num_ids += static_cast<std::int64_t>(tokenizer.Encode(text, max_length).ids.size());
  }
  const std::int64_t answer[] = {(std::clock() - start) * (1'000'000'000 / CLOCKS_PER_SEC), num_ids};
  std::fwrite(answer, sizeof *answer, std::size(answer), stdout);
}

}  // namespace

int main() {
  std::optional<laconic::Tokenizer> tokenizer;
  std::chrono::duration<double> busy{};
  std::int64_t num_tokens = 0;
  std::uint32_t kind = 0;
  while (ReadU32(&kind)) {
    std::uint32_t max_length = 0;
    ReadU32(&max_length);
    if (kind == 4) {
      Measure(*tokenizer, max_length);
      std::fflush(stdout);
      continue;
    }
    const std::string first = ReadBytes();
    const std::string second = kind == 2 ? ReadBytes() : std::string();
    try {
      laconic::Encoding encoding;
      if (kind == 3) {
        tokenizer = Load(first);
      } else {
        const auto start = std::chrono::steady_clock::now();
        encoding = kind == 1 ? tokenizer->Encode(first, max_length) : tokenizer->EncodePair(first, second, max_length);
        busy += std::chrono::steady_clock::now() - start;
        num_tokens += static_cast<std::int64_t>(encoding.ids.size());
      }
      WriteResult(encoding.truncated ? 1 : 0, encoding);
    } catch (const std::exception& error) {
      std::fprintf(stderr, "%s\n", error.what());
      WriteResult(-1, {});
    }
    std::fflush(stdout);
  }
  std::fprintf(stderr, "seconds %.6f tokens %lld\n", busy.count(), static_cast<long long>(num_tokens));
}
