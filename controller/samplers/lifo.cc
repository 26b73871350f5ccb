#include "controller/samplers/samplers.h"

namespace sluice::controller {
namespace {

class Lifo final : public Sampler {
 public:
  explicit Lifo(const Choosable& from) : ready_(from.ready) {}

  std::int64_t Available() override { return ready_.Count(); }
  void Pick(std::int64_t count, Random& /*random*/, Picked& picked) override {
    std::vector<RowIndex>& rows = picked.shares.emplace_back();
    rows.reserve(static_cast<std::size_t>(count));
    for (RowIndex row = ready_.Last(); count > 0; --count) {
      rows.push_back(row);
      row = ready_.LastUpTo(row - 1);
    }
  }

 private:
  const RowBits& ready_;
};

}  // namespace

std::unique_ptr<Sampler> MakeLifo(const SamplerChoice& /*choice*/, const Choosable& from) {
  return std::make_unique<Lifo>(from);
}

}  // namespace sluice::controller
