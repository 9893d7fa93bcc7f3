// The command line: one file a subcommand, each thin over a library call.

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <exception>
#include <iostream>
#include <new>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "base/cancel.h"
#include "base/file.h"
#include "base/staging.h"
#include "base/utf8.h"
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
  8  done, but a limit that was asked for is exceeded (diff --fail-over,
     certify --strict)

LACONIC_FORCE_ISA=avx2 in the environment runs that level of kernels and none
above: scalar, avx2, avx_vnni, avx512_vnni, avx512_bf16 or amx.

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

// Messages quote names and bytes of files, which must not steer the terminal.
void Complain(std::string message) {
  for (std::size_t at = FindInvalidUtf8(message); at != std::string::npos; at = FindInvalidUtf8(message)) {
    message[at] = '?';
  }
  std::ranges::replace_if(
      message, [](char c) { return (c >= 0 && c < ' ' && c != '\n') || c == '\x7F'; }, '?');
  std::fputs(("laconic: " + message + "\n").c_str(), stderr);
}

void HandleSignals() {
  // The first Ctrl-C asks long work to stop and clean up; the second ends the process at once. No SA_RESTART: a read
  // that waits for standard input has to return.
  struct sigaction action {};
  action.sa_handler = [](int number) {
    if (RequestCancel()) {
      RemoveStaging();
      std::signal(number, SIG_DFL);
      std::raise(number);
    }
  };
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
  struct sigaction inherited {};
  ::sigaction(SIGHUP, nullptr, &inherited);
  if (inherited.sa_handler != SIG_IGN) {  // nohup
    ::sigaction(SIGHUP, &action, nullptr);
  }
  // A closed pipe and a file over the user's limit are i/o errors like any other.
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
}

// An empty value is a shell variable that nobody set; only a text may be empty.
void RefuseEmptyValues(CLI::App* app) {
  const CLI::Validator is_given(
      [](const std::string& value) { return value.empty() ? "expected a value, got ''" : ""; }, "");
  for (CLI::App* command : app->get_subcommands({})) {
    for (CLI::Option* option : command->get_options()) {
      if (option->get_name() != "--text") {
        option->check(is_given);
      }
    }
  }
}

// A parse error in our words.
std::string WhatIsWrong(const CLI::App& app, const CLI::ParseError& error, int argc, char** argv) {
  const std::vector<CLI::App*> commands = app.get_subcommands();
  if (commands.empty() && argc > 1 && argv[1][0] != '-') {
    return std::string("unknown command '") + argv[1] + "'; see laconic --help";
  }
  const std::vector<std::string> unexpected = app.remaining(/*recurse=*/true);  // which CLI11 lists backwards
  const std::string what = unexpected.empty() ? error.what() : "unexpected argument '" + unexpected[0] + "'";
  return what + "; see laconic " + (commands.empty() ? "" : commands[0]->get_name() + " ") + "--help";
}

int Run(int argc, char** argv) {
  CLI::App app(
      "Laconic: the same answers in fewer bits. Makes transformer text classifiers smaller and faster, and "
      "measures what that cost.",
      "laconic");
  app.set_version_flag("--version", "laconic " + std::string(kVersion));
  app.footer(kFooter);
  AddQuantize(app);
  AddCalibrate(app);
  AddCompare(app);
  AddCertify(app);
  AddDiff(app);
  AddEval(app);
  AddPredict(app);
  AddBench(app);
  AddExport(app);
  AddFitHead(app);
  AddInspect(app);
  RefuseEmptyValues(&app);
  int status = 0;
  try {
    app.parse(argc, argv);
    if (app.get_subcommands().empty()) {
      Fail(ErrorCode::kInvalidArgument, "expected a command; see laconic --help");
    }
  } catch (const CLI::RuntimeError& error) {
    status = error.get_exit_code();  // of a command that did its work: kLimitExceeded
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() != 0) {
      Fail(ErrorCode::kInvalidArgument, WhatIsWrong(app, error, argc, argv));
    }
    app.exit(error);  // prints help or the version
  }
  if (!std::cout.flush()) {  // where help went
    FailErrno("cannot write", "standard output");
  }
  return status;
}

}  // namespace
}  // namespace laconic::cli

int main(int argc, char** argv) {
  using namespace laconic::cli;  // NOLINT(google-build-using-namespace): main has to be global
  HandleSignals();
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
