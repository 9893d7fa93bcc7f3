// How messages speak of a model.
#pragma once

#include <string>

#include "laconic/error.h"
#include "laconic/model.h"

namespace laconic {

// Its path in quotes, or "the model" where it was made in memory.
inline std::string NameOf(const Model& model) {
  const std::string path = model.info().path.string();
  return path.empty() ? "the model" : "'" + path + "'";
}

// Errors: kInvalidArgument for an encoder without a head.
inline void CheckHasLabels(const Model& model) {
  if (model.info().labels.empty()) {
    Fail(ErrorCode::kInvalidArgument, NameOf(model),
         " is an encoder without a classification head; fit one with fit-head");
  }
}

}  // namespace laconic
