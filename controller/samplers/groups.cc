#include "controller/samplers/groups.h"

#include <fmt/format.h>

#include "controller/samplers/neighbour_groups.h"
#include "controller/samplers/tag_groups.h"

namespace sluice::controller {

std::unique_ptr<Groups> MakeGroups(const SamplerChoice& choice, const Choosable& from) {
  if (choice.by.empty()) {
    return std::make_unique<NeighbourGroups>(choice.size, from);
  }
  return std::make_unique<TagGroups>(choice, from);
}

std::string ExplainGroup(std::string_view name, const GroupState& state) {
  const std::string_view why = state.torn      ? "is torn: a row was removed or taken separately"
                               : state.too_few ? "can never be whole: all rows were created"
                                               : "is not whole yet";
  return fmt::format("sampler group {} {}: {} of its {} rows are ready", name, why, state.ready,
                     state.size);
}

}  // namespace sluice::controller
