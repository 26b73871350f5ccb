// WeightTree: weights of rows, with search by cumulative weight. Sums are kept for 64, 4,096 and
// 262,144 rows, so that a change and a search read some hundred numbers, regardless of the number
// of rows. A sum is always recomputed from the level below, so it does not drift, and a weight of 0
// adds nothing.
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
  // 0 removes the row. Errors: std::bad_alloc (never for 0). REQUIRES: finite, not negative.
  void Set(RowIndex row, double weight);
  [[nodiscard]] double Get(RowIndex row) const;

  [[nodiscard]] double Sum() const;
  // Rows with a weight above 0.
  [[nodiscard]] std::int64_t Count() const { return count_; }
  // Returns the row at cumulative weight `place`; its weight is above 0. REQUIRES: Count() > 0;
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
    std::array<double, kFanOut> sums = {};  // one per row
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
