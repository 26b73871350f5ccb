// Store::Tables: the store's data members, for the store's source files only.
#pragma once

#include <map>
#include <set>
#include <string_view>
#include <vector>

#include <boost/intrusive/set.hpp>

#include "store/name_table.h"
#include "store/partition/partition.h"
#include "store/removed_names.h"
#include "store/store.h"

namespace sluice::store {

struct ExpiresBefore {
  bool operator()(const Name& a, const Name& b) const { return a.expires_ms < b.expires_ms; }
};
// Names with an expiry, soonest first. Intrusive, so setting an expiry cannot fail.
using ExpiryIndex = boost::intrusive::multiset<
    Name, boost::intrusive::compare<ExpiresBefore>,
    boost::intrusive::member_hook<Name, decltype(Name::by_expiry), &Name::by_expiry>>;

Status WrongType();

struct Store::Tables {
  Tables(Memory& memory, std::uint64_t seed) : names(seed), expired(memory) {}

  NameTable names;
  std::map<std::string_view, Name*> partitions;  // keys are views of the partitions' names
  ExpiryIndex expiries;
  std::set<Name*> idlers;        // partitions that have or had a TTL
  std::uint64_t expiry_sum = 0;  // sum over `expiries`, for the average; wraps around
  RemovedNames expired;          // partitions until RemoveExpired() takes them
  WritePlan plan;
  std::vector<Name*> fresh;     // scratch of SetStrings(): names it creates
  std::vector<Name*> reserved;  // scratch of SetStrings(): names it writes
};

}  // namespace sluice::store
