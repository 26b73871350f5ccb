// RowListing: the replies that list rows of a snapshot: KV.LIST, KV.SCAN, KV.CHANGES. The rows are
// looked at first, and then written, some thousand at a time.
//
// Thread safety: as LongReply.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <boost/unordered/unordered_flat_map.hpp>

#include "base/hash.h"
#include "server/dispatch/long_reply.h"
#include "store/partition/snapshot.h"
#include "store/tags/where.h"

namespace sluice::server {

struct RowFilter {
  std::optional<std::string> glob;  // of the key
  std::optional<store::Where> where;
};

enum class ListingForm : std::uint8_t {
  kMap,      // key -> tag
  kLines,    // one bulk string of JSON lines
  kPage,     // [next cursor, key -> tag]
  kChanges,  // [revision now, key -> tag, keys removed or nil]
};

// The last element of KV.CHANGES: the keys that were removed, each once, in the order in which they
// went; not those that were made again since, which are among the rows that changed. Nil where the
// snapshot is not complete.
class RemovedKeys {
 public:
  // `snapshot` is borrowed; `seed`: of hashes of keys.
  RemovedKeys(const store::Snapshot& snapshot, std::uint64_t seed)
      : snapshot_(snapshot), places_(0, TextHash{seed}) {}
  // As LongReply::Write.
  bool Write(resp::Reply& reply);

 private:
  enum class State : std::uint8_t { kCollecting, kSubtracting, kWriting };
  void Collect();
  void Subtract();
  bool WriteKeys(resp::Reply& reply);

  const store::Snapshot& snapshot_;
  State state_ = State::kCollecting;
  std::size_t next_ = 0;                // removal, segment or key
  std::vector<std::string_view> keys_;  // "": made again
  boost::unordered_flat_map<std::string_view, std::size_t, TextHash> places_;  // in keys_
};

class RowListing final : public LongReply {
 public:
  // `seed`: of hashes of keys; `rows_max`: how many rows are looked at.
  RowListing(ListingForm form, std::uint64_t seed, RowFilter filter = {},
             std::size_t rows_max = SIZE_MAX)
      : form_(form), seed_(seed), filter_(std::move(filter)), rows_left_(rows_max) {}

  // To be taken before the first Write().
  store::Snapshot& GetSnapshot() { return snapshot_; }

  bool Write(resp::Reply& reply) override;

 private:
  enum class State : std::uint8_t { kLooking, kRows, kRemoved };
  struct Listed {
    RowIndex index;
    const store::Row* row;
  };

  void LookAtSegment();
  void Look(RowIndex index, const store::Row& row, bool ready);
  void WriteHead(resp::Reply& reply);
  void FormatLine(const Listed& listed);
  bool WriteRows(resp::Reply& reply);
  void ReleaseWritten();

  ListingForm form_;
  std::uint64_t seed_;
  RowFilter filter_;
  store::Snapshot snapshot_;
  State state_ = State::kLooking;
  std::size_t segment_ = 0;             // the next to be looked at
  std::size_t rows_left_;               // to be looked at
  RowIndex next_ = 0;                   // of kPage: the cursor
  std::vector<Listed> rows_;            // that fit
  std::size_t written_ = 0;             // of rows_
  std::size_t line_bytes_ = 0;          // of kLines, in all
  std::string line_;                    // scratch
  std::size_t let_go_ = 0;              // segments whose rows are written
  std::optional<RemovedKeys> removed_;  // of kChanges
};

}  // namespace sluice::server
