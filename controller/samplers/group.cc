#include "controller/samplers/groups.h"
#include "controller/samplers/samplers.h"

namespace sluice::controller {
namespace {

class GroupSampler final : public Sampler {
 public:
  GroupSampler(const SamplerChoice& choice, const Choosable& from)
      : size_(choice.size), groups_(MakeGroups(choice, from)) {}

  [[nodiscard]] bool KeepsRows() const override { return true; }
  void RowWritten(RowIndex row) override { groups_->RowWritten(row); }
  void RowReady(RowIndex row) override { groups_->RowReady(row); }
  void RowTaken(RowIndex row) override { groups_->RowTaken(row); }
  void RowGone(RowIndex row) override { groups_->RowGone(row); }

  bool Work(std::int64_t& rows) override { return groups_->Work(rows); }
  std::int64_t Available() override { return groups_->Count() * size_; }
  std::int64_t Possible(std::int64_t /*rows*/, std::int64_t enough) override {
    return groups_->Possible(enough / size_ + 1) * size_;
  }
  void Pick(std::int64_t count, Random& /*random*/, Picked& picked) override {
    groups_->First(count / size_, picked.shares.emplace_back());
  }
  void Explain(const Prospects& prospects, std::vector<std::string>& lines) override {
    groups_->Explain(prospects, lines);
  }

 private:
  std::int64_t size_;
  std::unique_ptr<Groups> groups_;
};

}  // namespace

std::unique_ptr<Sampler> MakeGroup(const SamplerChoice& choice, const Choosable& from) {
  return std::make_unique<GroupSampler>(choice, from);
}

}  // namespace sluice::controller
