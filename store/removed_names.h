// RemovedNames: names that nobody finds any more, with what they stand for, still to be given back.
//
// Thread safety: as Remains.
#pragma once

#include <cstdint>
#include <memory>

#include "store/name_table.h"
#include "store/partition/deferred_destruction.h"

namespace sluice::store {

// What a name is charged, beside what its partition and a large string are.
std::int64_t NameBytes(const Name& name);

class RemovedNames final : public DeferredDestruction {
 public:
  // `memory` is borrowed.
  explicit RemovedNames(Memory& memory) : memory_(memory) {}
  ~RemovedNames() override;

  void Add(std::unique_ptr<Name> name) noexcept;
  // Takes all that `other` has.
  void Take(RemovedNames& other) noexcept;
  [[nodiscard]] bool Empty() const { return first_ == nullptr; }

  bool TakeApart() noexcept override;

 private:
  Memory& memory_;
  std::unique_ptr<Name> first_;
};

// All that FLUSHALL removed.
class FlushedNames final : public DeferredDestruction {
 public:
  FlushedNames(Memory& memory, std::uint64_t seed) : names_(seed), taken_(memory) {}
  ~FlushedNames() override;

  // Takes all that `names` and `removed` have.
  void Take(NameTable& names, RemovedNames& removed) noexcept;

  bool TakeApart() noexcept override;

 private:
  NameTable names_;
  RemovedNames taken_;  // out of names_, and being taken apart
};

}  // namespace sluice::store
