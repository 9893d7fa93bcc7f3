// The command line: one file a subcommand, each thin over a library call.

#include <csignal>
#include <cstdio>
#include <exception>
#include <new>
#include <string>

#include <CLI/CLI.hpp>

#include "base/cancel.h"
#include "common.h"
#include "laconic/error.h"
#include "laconic/version.h"

namespace laconic::cli {
namespace {

constexpr const char* kFooter = R"(Exit statuses:
  0  done                      5  unsupported: sound, but not handled here
  1  a bug in laconic          6  the system refused a read or write
  2  wrong usage or argument   7  out of memory or disk space
  3  a malformed file          130  interrupted
  4  something named is not there

Try:
  laconic quantize my-bert -o my-bert-int8
  laconic compare my-bert my-bert-int8 --data test.csv
  laconic export my-bert-int8 -o my-bert-int8.onnx)";

int StatusOf(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
      return 2;
    case ErrorCode::kInvalidFile:
      return 3;
    case ErrorCode::kNotFound:
      return 4;
    case ErrorCode::kUnsupported:
      return 5;
    case ErrorCode::kIo:
      return 6;
    case ErrorCode::kResource:
      return 7;
    case ErrorCode::kCancelled:
      return 130;
    case ErrorCode::kInternal:
      return 1;
  }
  return 1;
}

void Complain(const std::string& message) { std::fputs(("laconic: " + message + "\n").c_str(), stderr); }

// The first Ctrl-C asks long work to stop and clean up; the second ends the process at once.
void OnInterrupt(int signal) {
  RequestCancel();
  std::signal(signal, SIG_DFL);
}

int Run(int argc, char** argv) {
  CLI::App app(
      "Laconic: the same answers in fewer bits. Makes transformer text classifiers smaller and faster, and "
      "measures what that cost.",
      "laconic");
  app.set_version_flag("--version", "laconic " + std::string(kVersion));
  app.footer(kFooter);
  app.require_subcommand(1);
  AddQuantize(app);
  AddCompare(app);
  AddEval(app);
  AddPredict(app);
  AddBench(app);
  AddExport(app);
  AddFitHead(app);
  AddInspect(app);
  try {
    app.parse(argc, argv);
    return 0;
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : StatusOf(ErrorCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace laconic::cli

int main(int argc, char** argv) {
  using namespace laconic::cli;  // NOLINT(google-build-using-namespace): main has to be global
  std::signal(SIGINT, OnInterrupt);
  std::signal(SIGTERM, OnInterrupt);
  std::signal(SIGPIPE, SIG_IGN);  // a closed pipe is an i/o error like any other
  try {
    return Run(argc, argv);
  } catch (const laconic::Error& error) {
    Complain(error.what());
    return StatusOf(error.code());
  } catch (const std::bad_alloc&) {
    Complain("out of resources: no memory left");
    return StatusOf(laconic::ErrorCode::kResource);
  } catch (const std::exception& error) {
    Complain(std::string("internal: ") + error.what());
    return 1;
  }
}
