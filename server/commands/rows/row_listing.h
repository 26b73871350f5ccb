// RowListing: the replies of KV.LIST, KV.SCAN and KV.CHANGES, which list rows of a snapshot. The
// rows are first examined, then written, some thousand per step.
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

// The last element of KV.CHANGES: the removed keys, each once, in the order of removal. Keys that
// were inserted again are not listed; they are among the changed rows. Nil if the snapshot is not
// complete.
class RemovedKeys {
 public:
  // `snapshot` is borrowed. `seed` is the seed for hashes of keys.
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
  std::size_t next_ = 0;                // the next removal, segment or key
  std::vector<std::string_view> keys_;  // "" if the key was inserted again
  boost::unordered_flat_map<std::string_view, std::size_t, TextHash> places_;  // in keys_
};

class RowListing final : public LongReply {
 public:
  // `seed` is the seed for hashes of keys; `rows_max` is the number of rows to examine.
  RowListing(ListingForm form, std::uint64_t seed, RowFilter filter = {},
             std::size_t rows_max = SIZE_MAX)
      : form_(form), seed_(seed), filter_(std::move(filter)), rows_left_(rows_max) {}

  // The snapshot must be filled before the first Write().
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
  std::size_t segment_ = 0;             // the next segment to examine
  std::size_t rows_left_;               // rows left to examine
  RowIndex next_ = 0;                   // kPage: the cursor
  std::vector<Listed> rows_;            // rows that match
  std::size_t written_ = 0;             // number of rows_ already written
  std::size_t line_bytes_ = 0;          // kLines: size of all lines
  std::string line_;                    // scratch
  std::size_t let_go_ = 0;              // number of segments written and released
  std::optional<RemovedKeys> removed_;  // kChanges
};

}  // namespace sluice::server
