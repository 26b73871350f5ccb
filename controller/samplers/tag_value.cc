#include "controller/samplers/tag_value.h"

#include <algorithm>

#include "store/tags/json_number.h"
#include "store/tags/json_text.h"
#include "store/tags/tag_members.h"

namespace sluice::controller {
namespace {

constexpr double kWeightMax = 1e300;  // so that a sum of many is finite

}  // namespace

std::string SpelledName(std::string_view name) {
  std::string spelled;
  store::AppendJsonString(name, spelled);
  return spelled;
}

std::string_view MemberOf(std::string_view tag, std::string_view spelled) noexcept {
  for (store::TagMembers members(tag); members.Next();) {
    if (members.Name() == spelled) {
      return members.Value();
    }
  }
  return {};
}

double WeightOf(std::string_view tag, std::string_view spelled) noexcept {
  const auto number = store::ParseJsonNumber(MemberOf(tag, spelled));
  const double value = number ? number->ToDouble() : 0;
  return value > 0 ? std::min(value, kWeightMax) : 0;
}

}  // namespace sluice::controller
