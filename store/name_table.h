// NameTable: all names of the store with their values. A name is found by its *place*, which is a
// hash of the name. A walk visits names in the order of their places. A place never changes, so a
// walk may stop anywhere and continue later (SCAN): a name that exists during the whole walk is
// visited exactly once, even if the table grows.
//
// Growth is incremental, as in extendible hashing (Fagin et al., 1979): names are stored in small
// sorted leaves, a full leaf is split in two, and a directory maps the first bits of a place to its
// leaf.
//
//   directory_  00  01  10  11     depth_ bits
//                |   |   \  /
//              leaf leaf leaf      a leaf of fewer bits has several directory entries
//
// Thread safety: one caller at a time, which holds the engine lock.
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

// The value of a string (SET). A large value stays in the blob into which it was received.
struct StringValue {
  Text text;
  Blob blob;                   // not null: the value is its first `blob_bytes` bytes
  std::size_t blob_bytes = 0;  // less than the blob's size if APPEND reserved space
  bool edited = false;         // by APPEND or SETRANGE
  [[nodiscard]] std::string_view View() const {
    return blob.IsNull() ? text.View() : std::string_view(blob.data(), blob_bytes);
  }
  // True if both refer to the same memory, not merely to equal bytes.
  [[nodiscard]] bool Same(const StringValue& other) const {
    return View().data() == other.View().data() && View().size() == other.View().size();
  }
};

// Expiry of a name that does not expire.
inline constexpr std::int64_t kNoExpiry = std::numeric_limits<std::int64_t>::max();

struct Name {
  explicit Name(Text text) : name(std::move(text)) {}

  Text name;
  std::unique_ptr<Partition> partition;  // null if the name is a string
  StringValue string;
  std::int64_t expires_ms = kNoExpiry;  // Unix time
  bool over = false;                    // expired, but kept until a pause ends
  std::uint64_t place = 0;              // set by the table
  boost::intrusive::set_member_hook<boost::intrusive::link_mode<boost::intrusive::normal_link>>
      by_expiry;               // in the store's index, if the name expires
  std::unique_ptr<Name> next;  // list of removed names
};

class NameTable {
 public:
  // Places fit into JavaScript's 53-bit integers.
  static constexpr unsigned kPlaceBits = 52;
  static constexpr std::uint64_t kEnd = std::uint64_t{1} << kPlaceBits;

  explicit NameTable(std::uint64_t seed);

  [[nodiscard]] std::size_t size() const { return size_; }
  // Returns null if the name does not exist.
  [[nodiscard]] Name* Find(std::string_view name) const;
  // REQUIRES: the name does not exist. Errors: std::bad_alloc; the table is then unchanged.
  Name* Add(std::unique_ptr<Name> name);
  std::unique_ptr<Name> Remove(const Name& name) noexcept;
  void Swap(NameTable& other) noexcept;

  // Calls function(name) for the names at places >= `from`, in order, until it returns false.
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
  // Returns the name selected by a random number; null if the table is empty.
  [[nodiscard]] Name* Pick(std::uint64_t random) const;

  // Removes and returns any name; null if none is left. After the first call, call nothing else.
  std::unique_ptr<Name> TakeOne() noexcept;

 private:
  static constexpr std::size_t kLeafNames = 128;
  static constexpr unsigned kDepthMax = 32;
  struct Slot {
    std::uint64_t place = 0;
    std::unique_ptr<Name> name;
  };
  struct Leaf {
    unsigned depth = 0;       // number of leading bits that all its places share
    std::vector<Slot> slots;  // sorted by place
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
