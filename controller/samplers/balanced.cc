#include "controller/samplers/differencing.h"
#include "controller/samplers/groups.h"
#include "controller/samplers/samplers.h"
#include "controller/samplers/tag_value.h"

namespace sluice::controller {
namespace {

class Balanced final : public Sampler {
 public:
  Balanced(const SamplerChoice& choice, const Choosable& from)
      : size_(choice.size),
        ranks_(choice.ranks),
        weight_(choice.weight.empty() ? std::string() : SpelledName(choice.weight)),
        from_(from),
        groups_(MakeGroups(choice, from)) {}

  [[nodiscard]] bool KeepsRows() const override { return true; }
  void RowWritten(RowIndex row) override { groups_->RowWritten(row); }
  void RowReady(RowIndex row) override { groups_->RowReady(row); }
  void RowTaken(RowIndex row) override { groups_->RowTaken(row); }
  void RowGone(RowIndex row) override { groups_->RowGone(row); }

  bool Work(std::int64_t& rows) override { return groups_->Work(rows); }
  std::int64_t Available() override { return groups_->Count() / ranks_ * size_; }
  std::int64_t Possible(std::int64_t /*rows*/, std::int64_t enough) override {
    return groups_->Possible((enough / size_ + 1) * ranks_) / ranks_ * size_;
  }
  void Pick(std::int64_t count, Random& /*random*/, Picked& picked) override {
    std::vector<RowIndex> rows;
    const std::int64_t groups = count / size_ * ranks_;
    groups_->First(groups, rows);
    const auto size = static_cast<std::size_t>(size_);
    std::vector<double> weights(static_cast<std::size_t>(groups), 0);
    for (std::size_t i = 0; !weight_.empty() && i < rows.size(); ++i) {
      weights[i / size] += WeightOf(from_.rows.TagOf(rows[i]), weight_);
    }
    for (const auto& dealt : DealEqually(weights, static_cast<std::size_t>(ranks_))) {
      std::vector<RowIndex>& share = picked.shares.emplace_back();
      share.reserve(static_cast<std::size_t>(count));
      for (const std::size_t group : dealt) {
        const auto begin = rows.begin() + static_cast<std::ptrdiff_t>(group * size);
        share.insert(share.end(), begin, begin + size_);
      }
    }
  }
  void Explain(const Prospects& prospects, std::vector<std::string>& lines) override {
    groups_->Explain(prospects, lines);
  }

 private:
  std::int64_t size_;
  std::int64_t ranks_;
  std::string weight_;  // as tags spell it; "": none
  Choosable from_;
  std::unique_ptr<Groups> groups_;
};

}  // namespace

std::unique_ptr<Sampler> MakeBalanced(const SamplerChoice& choice, const Choosable& from) {
  return std::make_unique<Balanced>(choice, from);
}

}  // namespace sluice::controller
