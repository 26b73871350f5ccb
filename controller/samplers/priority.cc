#include <boost/unordered/unordered_flat_set.hpp>

#include "controller/samplers/samplers.h"
#include "controller/samplers/tag_value.h"
#include "controller/samplers/weight_tree.h"

namespace sluice::controller {
namespace {

class Priority final : public Sampler {
 public:
  Priority(const SamplerChoice& choice, const Choosable& from)
      : weight_(SpelledName(choice.weight)), from_(from) {}

  [[nodiscard]] bool KeepsRows() const override { return true; }
  void RowWritten(RowIndex row) override {
    if (from_.ready.Contains(row)) {
      RowReady(row);
    }
  }
  void RowReady(RowIndex row) override { tree_.Set(row, WeightOf(from_.rows.TagOf(row), weight_)); }
  void RowTaken(RowIndex row) override { tree_.Set(row, 0); }

  std::int64_t Available() override { return tree_.Count(); }
  // Draws rows one after another without replacement: a row that is drawn again is skipped. If that
  // happens often, because a few rows have nearly all the weight, the drawn rows are set aside.
  void Pick(std::int64_t count, Random& random, Picked& picked) override {
    const double sum = tree_.Sum();
    double left = sum;
    std::vector<RowIndex>& rows = picked.shares.emplace_back();
    rows.reserve(static_cast<std::size_t>(count));
    picked.weights.reserve(static_cast<std::size_t>(count));
    boost::unordered_flat_set<RowIndex> drawn;
    drawn.reserve(static_cast<std::size_t>(count));
    std::size_t aside = 0;  // how many of `rows` are set aside
    std::int64_t again = 0;
    while (static_cast<std::int64_t>(rows.size()) < count) {
      const RowIndex row = tree_.At(random.Unit() * left);
      if (drawn.insert(row).second) {
        rows.push_back(row);
        picked.weights.push_back(tree_.Get(row) / sum);
      } else if (++again > count) {
        for (; aside < rows.size(); ++aside) {
          tree_.Set(rows[aside], 0);
        }
        left = tree_.Sum();
        again = 0;
      }
    }
    for (std::size_t i = 0; i < aside; ++i) {
      RowReady(rows[i]);  // until it is taken
    }
  }
  void Explain(const Prospects& /*prospects*/, std::vector<std::string>& lines) override {
    const std::int64_t weightless = from_.ready.Count() - tree_.Count();
    if (weightless > 0) {
      lines.push_back("sampler priority never takes " + std::to_string(weightless) +
                      (weightless == 1 ? " ready row: its " : " ready rows: their ") + weight_ +
                      " is missing, not a number, or not above 0");
    }
  }

 private:
  std::string weight_;  // as tags spell it
  Choosable from_;
  WeightTree tree_;
};

}  // namespace

std::unique_ptr<Sampler> MakePriority(const SamplerChoice& choice, const Choosable& from) {
  return std::make_unique<Priority>(choice, from);
}

}  // namespace sluice::controller
