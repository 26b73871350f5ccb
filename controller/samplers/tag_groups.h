// TagGroups: see groups.h. Each tag value has a list of its rows, by index, which is cut into
// groups. One set has the first row of each whole cut of all lists.
//
//   list:   | cut 0 | cut 1 | cut 2 | ...      g rows each; the last may have fewer
//                           ^ sorted: the rows behind it are processed later
//
// A row that leaves a list or is inserted in its middle moves the cuts behind it. Work() or the
// next query processes that part of the list again.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "controller/rows/row_map.h"
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
  std::int64_t Possible(std::int64_t enough) override;
  bool Work(std::int64_t& rows) override;
  void Explain(const Sampler::Prospects& prospects, std::vector<std::string>& lines) override;

 private:
  // Flags of a cut.
  static constexpr std::uint8_t kWhole = 1;     // its first row is in whole_
  static constexpr std::uint8_t kPossible = 2;  // it is full, and none of its rows is gone
  static constexpr std::uint8_t kReady = 4;     // some of its rows are ready
  struct Value {
    std::string text;
    std::vector<RowIndex> rows;      // by index up to `sorted`; behind it, some may have left
    std::vector<std::uint8_t> cuts;  // by number
    std::size_t sorted = 0;          // a multiple of the group size, or all rows
    bool dirty = false;              // not all rows are sorted: it is in dirty_
  };
  struct Cut {
    const Value* value = nullptr;
    std::size_t at = 0;  // position in value->rows
  };

  void Leave(RowIndex row);
  void MakeDirty(Value& value, RowIndex from);
  void Refresh(Value& value);
  void RefreshAll();
  void RefreshCut(Value& value, std::size_t at);
  void SetCut(Value& value, std::size_t number, std::uint8_t now);
  [[nodiscard]] static std::size_t PlaceOf(const Value& value, RowIndex row);
  [[nodiscard]] GroupState StateOf(const Cut& cut, const Sampler::Prospects& prospects) const;
  [[nodiscard]] std::size_t Size() const { return static_cast<std::size_t>(size_); }

  std::int64_t size_;
  std::string by_;  // as tags spell it
  Choosable from_;
  std::map<std::string, Value, std::less<>> values_;
  RowMap<Value*> value_of_;
  RowBits whole_;  // first rows
  std::vector<Value*> dirty_;
  std::int64_t possible_ = 0;  // cuts
};

}  // namespace sluice::controller
