// RemovedNames: names removed from the store, with their values, which await deferred destruction.
//
// Thread safety: as DeferredDestruction.
#pragma once

#include <cstdint>
#include <memory>

#include "store/name_table.h"
#include "store/partition/deferred_destruction.h"

namespace sluice::store {

// Bytes charged for a name, without those of its partition or its large string.
std::int64_t NameBytes(const Name& name);

class RemovedNames final : public DeferredDestruction {
 public:
  // `memory` is borrowed.
  explicit RemovedNames(Memory& memory) : memory_(memory) {}
  ~RemovedNames() override;

  void Add(std::unique_ptr<Name> name) noexcept;
  // Moves all names of `other` here.
  void Take(RemovedNames& other) noexcept;
  [[nodiscard]] bool Empty() const { return first_ == nullptr; }

  bool TakeApart() noexcept override;

 private:
  Memory& memory_;
  std::unique_ptr<Name> first_;
};

// Everything that FLUSHALL removed.
class FlushedNames final : public DeferredDestruction {
 public:
  FlushedNames(Memory& memory, std::uint64_t seed) : names_(seed), taken_(memory) {}
  ~FlushedNames() override;

  // Moves all names of `names` and `removed` here.
  void Take(NameTable& names, RemovedNames& removed) noexcept;

  bool TakeApart() noexcept override;

 private:
  NameTable names_;
  RemovedNames taken_;  // taken out of names_, being destroyed
};

}  // namespace sluice::store
