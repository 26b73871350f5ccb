#include "controller/samplers/samplers.h"

namespace sluice::controller {
namespace {

class Sequential final : public Sampler {
 public:
  explicit Sequential(const Choosable& from) : ready_(from.ready) {}

  std::int64_t Available() override { return ready_.Count(); }
  void Pick(std::int64_t count, Random& /*random*/, Picked& picked) override {
    std::vector<RowIndex>& rows = picked.shares.emplace_back();
    rows.reserve(static_cast<std::size_t>(count));
    RowIndex row = kNoRow;
    for (; count > 0; --count) {
      row = ready_.NextFrom(row + 1);
      rows.push_back(row);
    }
  }

 private:
  const RowBits& ready_;
};

}  // namespace

std::unique_ptr<Sampler> MakeSequential(const SamplerChoice& /*choice*/, const Choosable& from) {
  return std::make_unique<Sequential>(from);
}

}  // namespace sluice::controller
