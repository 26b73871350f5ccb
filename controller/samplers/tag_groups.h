// TagGroups: see groups.h. The rows of each value stand in a list, by index; the whole cuts of all
// lists stand in one map, by their first row.
//
// A row that leaves a list, or comes into the middle of one, moves the cuts behind it: such a list
// is looked at again, whole, when somebody asks next.
#pragma once

#include <map>
#include <string>
#include <unordered_set>

#include <boost/unordered/unordered_flat_map.hpp>

#include "controller/samplers/groups.h"

namespace sluice::controller {

class TagGroups final : public Groups {
 public:
  TagGroups(const SamplerChoice& choice, const Choosable& from);

  void RowWritten(RowIndex row) override;
  void RowReady(RowIndex row) override;
  void RowTaken(RowIndex row) override;
  void RowGone(RowIndex row) override;
  std::int64_t Count() override;
  void First(std::int64_t count, std::vector<RowIndex>& rows) override;
  std::int64_t Possible(const Sampler::MayCome& may_come) override;
  void Explain(const Sampler::Prospects& prospects, std::vector<std::string>& lines) override;

 private:
  struct Value {
    std::string text;
    std::vector<RowIndex> rows;  // by index, unless dirty
    bool dirty = false;          // none of its cuts stands in whole_
  };
  struct Cut {
    const Value* value = nullptr;
    std::size_t at = 0;  // in its rows
  };

  void Leave(RowIndex row);
  void MakeDirty(Value& value);
  void Refresh();
  void RefreshCut(Value& value, std::size_t at);
  [[nodiscard]] GroupState StateOf(const Cut& cut, const Sampler::Prospects& prospects) const;
  [[nodiscard]] std::size_t Size() const { return static_cast<std::size_t>(size_); }

  std::int64_t size_;
  std::string by_;  // as tags spell it
  Choosable from_;
  std::map<std::string, Value, std::less<>> values_;
  boost::unordered_flat_map<RowIndex, Value*> value_of_;
  std::map<RowIndex, Cut> whole_;
  std::unordered_set<Value*> dirty_;
};

}  // namespace sluice::controller
