// WeightTree: weights of rows, and who stands where on the line on which each row takes as much
// room as it weighs. Sums are kept for 64 rows, 4,096, and 262,144, so that a change and a search
// look at some hundred numbers, however many rows there are. A sum is always added up anew from
// what is below it, so it does not drift, and what weighs nothing adds nothing.
//
// Thread safety: one caller at a time.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include <boost/container/flat_map.hpp>

#include "controller/rows/row_bits.h"

namespace sluice::controller {

class WeightTree {
 public:
  // 0: the row is not there. Errors: std::bad_alloc (never for 0). REQUIRES: finite, not negative.
  void Set(RowIndex row, double weight);
  [[nodiscard]] double Get(RowIndex row) const;

  [[nodiscard]] double Sum() const;
  // Rows that weigh something.
  [[nodiscard]] std::int64_t Count() const { return count_; }
  // The row at this place of the line; one that weighs something. REQUIRES: Count() > 0;
  // 0 <= place.
  [[nodiscard]] RowIndex At(double place) const;

 private:
  static constexpr std::size_t kFanOut = 64;
  template <typename Child>
  struct Node {
    std::array<double, kFanOut> sums = {};
    std::array<Child, kFanOut> children = {};
  };
  struct Leaf {
    std::array<double, kFanOut> sums = {};  // one a row
  };
  using Middle = Node<std::unique_ptr<Leaf>>;
  using Top = Node<std::unique_ptr<Middle>>;

  [[nodiscard]] const Leaf* FindLeaf(RowIndex row) const;
  template <typename Sums>
  static std::size_t Find(const Sums& sums, double& place);

  boost::container::flat_map<RowIndex, std::unique_ptr<Top>> tops_;  // by row / 64^3
  std::int64_t count_ = 0;
};

}  // namespace sluice::controller
