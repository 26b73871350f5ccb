// Store::Tables: what the store keeps; for its own sources.
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
// Names with an expiry, the soonest first. It allocates nothing: setting an expiry cannot fail.
using ExpiryIndex = boost::intrusive::multiset<
    Name, boost::intrusive::compare<ExpiresBefore>,
    boost::intrusive::member_hook<Name, decltype(Name::by_expiry), &Name::by_expiry>>;

// As in Redis, a name is still there in the millisecond in which it expires. A partition that is
// idle for longer than its TTL has, too.
bool HasExpired(const Name& name, std::int64_t now_ms) noexcept;
Status WrongType();

struct Store::Tables {
  Tables(Memory& memory, std::uint64_t seed) : names(seed), expired(memory) {}

  NameTable names;
  std::map<std::string_view, Name*> partitions;  // the keys are the partitions' own
  ExpiryIndex expiries;
  std::set<Name*> idlers;        // partitions that have a TTL, or had
  std::uint64_t expiry_sum = 0;  // of `expiries`, for their average; wraps around
  RemovedNames expired;          // partitions that wait for TakeExpired()
  WritePlan plan;
  std::vector<Name*> fresh;     // scratch of SetStrings(): made by it
  std::vector<Name*> reserved;  // all that it writes to
};

}  // namespace sluice::store
