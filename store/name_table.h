// NameTable: every name of the store and what it stands for, found by its *place*, a hash, and
// walked in the order of the places. A place never changes, so a walk may stop anywhere and go on
// later (SCAN): what is there throughout is seen exactly once, however the table grows.
//
// Growth never stops the world: names lie in small sorted leaves, of which a full one is split in
// two, and a directory finds the leaf by the first bits of the place, as in extendible hashing
// (Fagin et al., 1979).
//
//   directory_  00  01  10  11     depth_ bits
//                |   |   \  /
//              leaf leaf leaf      a leaf of fewer bits stands there several times
//
// Thread safety: one caller at a time (the engine).
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <limits>
#include <memory>
#include <string_view>
#include <vector>

#include <boost/intrusive/set_hook.hpp>

#include "base/text.h"
#include "store/memory/blob.h"
#include "store/partition/partition.h"

namespace sluice::store {

// A byte string of SET: small ones as text, large ones where they were received.
struct StringValue {
  Text text;
  Blob blob;                   // not null: the value is its first `blob_bytes` bytes
  std::size_t blob_bytes = 0;  // less than its size where APPEND has left room
  [[nodiscard]] std::string_view View() const {
    return blob.IsNull() ? text.View() : std::string_view(blob.data(), blob_bytes);
  }
  // The very same bytes, not equal ones.
  [[nodiscard]] bool Same(const StringValue& other) const {
    return View().data() == other.View().data() && View().size() == other.View().size();
  }
};

// Of a name without one.
inline constexpr std::int64_t kNoExpiry = std::numeric_limits<std::int64_t>::max();

struct Name {
  explicit Name(Text text) : name(std::move(text)) {}

  Text name;
  std::unique_ptr<Partition> partition;  // what it stands for; null: the string
  StringValue string;
  std::int64_t expires_ms = kNoExpiry;  // since 1970
  std::uint64_t place = 0;              // the table sets it
  boost::intrusive::set_member_hook<boost::intrusive::link_mode<boost::intrusive::normal_link>>
      by_expiry;               // in the store's index, where it has one
  std::unique_ptr<Name> next;  // of removed ones
};

class NameTable {
 public:
  // Places fit into the 53 bits that JavaScript has for a number.
  static constexpr unsigned kPlaceBits = 52;
  static constexpr std::uint64_t kEnd = std::uint64_t{1} << kPlaceBits;

  explicit NameTable(std::uint64_t seed);

  [[nodiscard]] std::size_t size() const { return size_; }
  // Null where there is none.
  [[nodiscard]] Name* Find(std::string_view name) const;
  // REQUIRES: the name is new. Errors: std::bad_alloc; nothing changed then.
  Name* Add(std::unique_ptr<Name> name);
  std::unique_ptr<Name> Remove(const Name& name) noexcept;
  void Swap(NameTable& other) noexcept;

  // Calls function(name) for the names at `from` and behind it, in order, until it returns false.
  template <typename Function>
  void Walk(std::uint64_t from, const Function& function) const {
    for (std::size_t i = IndexOf(from); i < directory_.size();) {
      const Leaf& leaf = *directory_[i];
      for (const Slot& slot : leaf.slots) {
        if (slot.place >= from && !function(*slot.name)) {
          return;
        }
      }
      const std::size_t run = std::size_t{1} << (depth_ - leaf.depth);
      i = i / run * run + run;
    }
  }
  // Any of them, by a random number. Null where there is none.
  [[nodiscard]] Name* Pick(std::uint64_t random) const;

  // One of those left, null after the last. No other call may follow the first of these.
  std::unique_ptr<Name> TakeOne() noexcept;

 private:
  static constexpr std::size_t kLeafNames = 128;
  static constexpr unsigned kDepthMax = 32;
  struct Slot {
    std::uint64_t place = 0;
    std::unique_ptr<Name> name;
  };
  struct Leaf {
    unsigned depth = 0;       // so many first bits do all its places share
    std::vector<Slot> slots;  // by place
  };

  [[nodiscard]] std::uint64_t PlaceOf(std::string_view name) const;
  [[nodiscard]] std::size_t IndexOf(std::uint64_t place) const {
    return static_cast<std::size_t>(place >> (kPlaceBits - depth_));
  }
  void Split(Leaf& leaf);

  std::uint64_t seed_;
  unsigned depth_ = 0;
  std::deque<Leaf> leaves_;
  std::vector<Leaf*> directory_;
  std::size_t size_ = 0;
};

}  // namespace sluice::store
