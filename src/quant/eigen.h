// Eigen, for this folder's .cpp files only: plain single-threaded calls on row-major matrices, whose results depend on
// nothing but their operands.
#pragma once

#include <span>

#define EIGEN_DONT_PARALLELIZE
#include <Eigen/Dense>

#include "quant/matrix.h"

namespace laconic::quant {

using RowMatrixF = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using RowMatrixD = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

inline Eigen::Map<const RowMatrixF> View(const MatrixView& m) { return {m.data, m.rows, m.cols}; }
inline Eigen::Map<const Eigen::RowVectorXf> View(std::span<const float> v) {
  return {v.data(), static_cast<Eigen::Index>(v.size())};
}

}  // namespace laconic::quant
