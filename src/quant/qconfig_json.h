// The JSON of an observer's settings, which QConfigs and calibration tables share.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "laconic/qconfig.h"

namespace laconic::quant {

// {"kind": "percentile", "percentile": 99.99}
nlohmann::ordered_json PrintObserver(const ObserverConfig& config);

// Such an object, or the kind alone. Settings that are left out get their defaults. Errors: kInvalidFile.
ObserverConfig ParseObserver(const nlohmann::ordered_json& json);

// Errors: kInvalidArgument for settings that are out of range, can do nothing or belong to another kind.
void CheckObserver(const ObserverConfig& config);

}  // namespace laconic::quant
