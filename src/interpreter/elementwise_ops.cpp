// Operators that compute each element of the result from the elements of the same place.
#include <cmath>
#include <numbers>
#include <type_traits>

#include "interpreter/op.h"

namespace laconic::interpreter {
namespace {

// Signed integers wrap around, as NumPy's and the hardware's do.
template <typename T, typename F>
T Wrapped(T a, T b, F f) {
  if constexpr (std::is_floating_point_v<T>) {
    return f(a, b);
  } else {
    return static_cast<T>(f(static_cast<std::uint64_t>(a), static_cast<std::uint64_t>(b)));
  }
}

constexpr auto kAdd = [](auto a, auto b) { return Wrapped(a, b, [](auto x, auto y) { return x + y; }); };
constexpr auto kSub = [](auto a, auto b) { return Wrapped(a, b, [](auto x, auto y) { return x - y; }); };
constexpr auto kMul = [](auto a, auto b) { return Wrapped(a, b, [](auto x, auto y) { return x * y; }); };

template <typename T>
void CheckDivisor(T divisor) {
  if (divisor == 0) {
    Fail(ErrorCode::kInvalidArgument, "an integer is divided by zero");
  }
}

// Integers towards zero.
constexpr auto kDiv = []<typename T>(T a, T b) {
  if constexpr (std::is_floating_point_v<T>) {
    return a / b;
  } else {
    CheckDivisor(b);
    return b == static_cast<T>(-1) ? kSub(T{0}, a) : static_cast<T>(a / b);
  }
};

// C's fmod.
constexpr auto kFmod = []<typename T>(T a, T b) {
  if constexpr (std::is_floating_point_v<T>) {
    return std::fmod(a, b);
  } else {
    CheckDivisor(b);
    return b == static_cast<T>(-1) ? T{0} : static_cast<T>(a % b);
  }
};

// Python's %: the divisor's sign.
constexpr auto kMod = []<typename T>(T a, T b) {
  const T rest = kFmod(a, b);
  return rest != 0 && (rest < 0) != (b < 0) ? static_cast<T>(rest + b) : rest;
};

// NaN wins.
constexpr auto kMax = [](auto a, auto b) { return a > b || a != a ? a : b; };
constexpr auto kMin = [](auto a, auto b) { return a < b || a != a ? a : b; };

template <auto f, typename List>
Tensor ZipSame(const OpCall& call, const Tensor& a, const Tensor& b) {
  return Dispatch(List(), a.dtype(), [&]<typename T>(T) { return Zip<T, T, T>(call, a, b, f); });
}

template <auto f, typename List = Numbers>
Tensors Binary(const OpCall& call) {
  return {ZipSame<f, List>(call, call[0], call[1])};
}

template <auto f, typename List = Numbers>
Tensors Variadic(const OpCall& call) {
  Tensor result = call[0];
  for (std::size_t i = 1; i < call.num_inputs(); ++i) {
    result = ZipSame<f, List>(call, result, call[i]);
  }
  return {result};
}

Tensors RunMean(const OpCall& call) {
  const Tensor sum = Variadic<kAdd, Floats>(call)[0];
  return {Dispatch(Floats(), sum.dtype(), [&]<typename T>(T) {
    return Map<T, T>(call, sum, [n = static_cast<T>(call.num_inputs())](T x) { return x / n; });
  })};
}

Tensors RunMod(const OpCall& call) { return call.Int("fmod") != 0 ? Binary<kFmod>(call) : Binary<kMod>(call); }

template <typename T>
T IntPower(T base, std::int64_t exponent) {
  if (exponent < 0) {
    CheckDivisor(base);
    return base == 1 ? T{1} : base == static_cast<T>(-1) ? static_cast<T>(exponent % 2 == 0 ? 1 : -1) : T{0};
  }
  T result = 1;
  for (; exponent > 0; exponent >>= 1) {
    result = (exponent & 1) != 0 ? kMul(result, base) : result;
    base = kMul(base, base);
  }
  return result;
}

constexpr auto kPower = []<typename T, typename E>(T base, E exponent) {
  if constexpr (std::is_integral_v<T> && std::is_integral_v<E>) {
    return IntPower(base, static_cast<std::int64_t>(exponent));
  } else {
    return std::pow(static_cast<double>(base), static_cast<double>(exponent));
  }
};

Tensors RunPow(const OpCall& call) {
  using Bases = Types<float, double, std::int64_t, std::int32_t>;
  return {Dispatch(Bases(), call[0].dtype(), [&]<typename T>(T) {
    return Dispatch(Bases(), call[1].dtype(), [&]<typename E>(E) {
      if constexpr (std::is_integral_v<T> && std::is_floating_point_v<E>) {
        const Tensor power = Zip<double, T, E>(call, call[0], call[1], kPower);
        return Convert(call, power, kDTypeOf<T>);
      } else {
        return Zip<T, T, E>(call, call[0], call[1], kPower);
      }
    });
  })};
}

template <auto f, typename List = Floats>
Tensors Unary(const OpCall& call) {
  return {Dispatch(List(), call[0].dtype(), [&]<typename T>(T) { return Map<T, T>(call, call[0], f); })};
}

// The same for a function with parameters: `make` gets them from the call's attributes.
template <auto make, typename List = Floats>
Tensors UnaryWith(const OpCall& call) {
  const auto f = make(call);
  return {Dispatch(List(), call[0].dtype(), [&]<typename T>(T) { return Map<T, T>(call, call[0], f); })};
}

constexpr auto kAbs = [](auto x) { return x < 0 ? kSub(decltype(x){0}, x) : x == 0 ? decltype(x){0} : x; };
constexpr auto kNeg = [](auto x) {
  if constexpr (std::is_floating_point_v<decltype(x)>) {
    return -x;
  } else {
    return kSub(decltype(x){0}, x);
  }
};
constexpr auto kSign = [](auto x) { return x > 0 ? decltype(x){1} : x < 0 ? static_cast<decltype(x)>(-1) : x; };
constexpr auto kRelu = [](auto x) { return x < 0 ? decltype(x){0} : x; };
constexpr auto kSigmoid = [](auto x) { return 1 / (1 + std::exp(-x)); };
constexpr auto kSoftplus = [](auto x) { return std::max(x, decltype(x){0}) + std::log1p(std::exp(-std::abs(x))); };
constexpr auto kClamp = [](auto x, auto lo, auto hi) { return x < lo ? lo : x > hi ? hi : x; };
constexpr auto kHardSwish = []<typename T>(T x) { return x * kClamp(x / 6 + T{0.5}, T{0}, T{1}); };

// In f64: 1 + erf(x) of a negative x loses what f32 has.
constexpr auto kGelu = [](auto x) {
  const double wide = x;
  return 0.5 * wide * std::erfc(-wide / std::numbers::sqrt2);
};
constexpr auto kGeluTanh = [](auto x) {
  const double wide = x;
  const double inner = std::sqrt(2 / std::numbers::pi) * (wide + 0.044715 * wide * wide * wide);
  return 0.5 * wide * (1 + std::tanh(inner));
};

Tensors RunGelu(const OpCall& call) {
  const std::string approximate = call.String("approximate");
  if (approximate != "none" && approximate != "tanh") {
    Fail(ErrorCode::kInvalidFile, "approximate: expected none or tanh, got ", approximate);
  }
  return approximate == "tanh" ? Unary<kGeluTanh>(call) : Unary<kGelu>(call);
}

constexpr auto kMakeCelu = [](const OpCall& call) {
  return [alpha = call.Float("alpha")]<typename T>(T x) {
    return std::max(x, T{0}) + std::min(T{0}, static_cast<T>(alpha) * std::expm1(x / static_cast<T>(alpha)));
  };
};
constexpr auto kMakeElu = [](const OpCall& call) {
  return [alpha = call.Float("alpha")](auto x) { return x < 0 ? alpha * std::expm1(x) : x; };
};
constexpr auto kMakeSelu = [](const OpCall& call) {
  return [alpha = call.Float("alpha"), gamma = call.Float("gamma")](auto x) {
    return gamma * (x > 0 ? x : alpha * std::expm1(x));
  };
};
constexpr auto kMakeHardSigmoid = [](const OpCall& call) {
  return [alpha = call.Float("alpha"), beta = call.Float("beta")]<typename T>(T x) {
    return kClamp(static_cast<T>(alpha * x + beta), T{0}, T{1});
  };
};
constexpr auto kMakeLeakyRelu = [](const OpCall& call) {
  return [alpha = call.Float("alpha")](auto x) { return x < 0 ? alpha * x : x; };
};
constexpr auto kMakeSwish = [](const OpCall& call) {
  return [alpha = call.Float("alpha")](auto x) { return x / (1 + std::exp(-alpha * x)); };
};
constexpr auto kMakeThresholdedRelu = [](const OpCall& call) {
  return [alpha = call.Float("alpha")](auto x) { return x > alpha ? x : decltype(x){0}; };
};
constexpr auto kPRelu = [](auto x, auto slope) { return x < 0 ? x * slope : x; };

template <typename T>
T BoundOr(const OpCall& call, std::size_t i, T otherwise) {
  if (!call.has(i)) {
    return otherwise;
  }
  if (call[i].num_elements() != 1 || call[i].dtype() != call[0].dtype()) {
    Fail(ErrorCode::kInvalidFile, "bound: expected one ", ToString(call[0].dtype()), ", got ",
         ToString(call[i].dtype()), ToString(call[i].shape()));
  }
  return call[i].values<T>()[0];
}

Tensors RunClip(const OpCall& call) {
  return {Dispatch(Numbers(), call[0].dtype(), [&]<typename T>(T) {
    using Limits = std::numeric_limits<T>;
    constexpr T kHighest = Limits::has_infinity ? Limits::infinity() : Limits::max();
    const T lo = BoundOr<T>(call, 1, Limits::has_infinity ? -kHighest : Limits::lowest());
    const T hi = BoundOr<T>(call, 2, kHighest);
    return Map<T, T>(call, call[0], [&](T x) { return std::min(x < lo ? lo : x, hi); });
  })};
}

Tensors RunIdentity(const OpCall& call) { return {call[0]}; }

}  // namespace

std::span<const OpEntry> ElementwiseOps() {
  static const OpEntry ops[] = {
      {"Abs", Unary<kAbs, Numbers>},
      {"Acos", Unary<[](auto x) { return std::acos(x); }>},
      {"Acosh", Unary<[](auto x) { return std::acosh(x); }>},
      {"Add", Binary<kAdd>},
      {"Asin", Unary<[](auto x) { return std::asin(x); }>},
      {"Asinh", Unary<[](auto x) { return std::asinh(x); }>},
      {"Atan", Unary<[](auto x) { return std::atan(x); }>},
      {"Atanh", Unary<[](auto x) { return std::atanh(x); }>},
      {"Ceil", Unary<[](auto x) { return std::ceil(x); }>},
      {"Celu", UnaryWith<kMakeCelu>},
      {"Clip", RunClip},
      {"Cos", Unary<[](auto x) { return std::cos(x); }>},
      {"Cosh", Unary<[](auto x) { return std::cosh(x); }>},
      {"Div", Binary<kDiv>},
      {"Elu", UnaryWith<kMakeElu>},
      {"Erf", Unary<[](auto x) { return std::erf(x); }>},
      {"Exp", Unary<[](auto x) { return std::exp(x); }>},
      {"Floor", Unary<[](auto x) { return std::floor(x); }>},
      {"Gelu", RunGelu},
      {"HardSigmoid", UnaryWith<kMakeHardSigmoid>},
      {"HardSwish", Unary<kHardSwish>},
      {"Identity", RunIdentity, false},
      {"LeakyRelu", UnaryWith<kMakeLeakyRelu>},
      {"Log", Unary<[](auto x) { return std::log(x); }>},
      {"Max", Variadic<kMax>},
      {"Mean", RunMean},
      {"Min", Variadic<kMin>},
      {"Mish", Unary<[](auto x) { return x * std::tanh(kSoftplus(x)); }>},
      {"Mod", RunMod},
      {"Mul", Binary<kMul>},
      {"Neg", Unary<kNeg, Signed>},
      {"PRelu", Binary<kPRelu, Floats>},
      {"Pow", RunPow},
      {"Reciprocal", Unary<[](auto x) { return 1 / x; }>},
      {"Relu", Unary<kRelu, Signed>},
      {"Round", Unary<[](auto x) { return std::nearbyint(x); }>},
      {"Selu", UnaryWith<kMakeSelu>},
      {"Sigmoid", Unary<kSigmoid>},
      {"Sign", Unary<kSign, Numbers>},
      {"Sin", Unary<[](auto x) { return std::sin(x); }>},
      {"Sinh", Unary<[](auto x) { return std::sinh(x); }>},
      {"Softplus", Unary<kSoftplus>},
      {"Softsign", Unary<[](auto x) { return x / (1 + std::abs(x)); }>},
      {"Sqrt", Unary<[](auto x) { return std::sqrt(x); }>},
      {"Sub", Binary<kSub>},
      {"Sum", Variadic<kAdd, Floats>},
      {"Swish", UnaryWith<kMakeSwish>},
      {"Tan", Unary<[](auto x) { return std::tan(x); }>},
      {"Tanh", Unary<[](auto x) { return std::tanh(x); }>},
      {"ThresholdedRelu", UnaryWith<kMakeThresholdedRelu>},
  };
  return ops;
}

}  // namespace laconic::interpreter
