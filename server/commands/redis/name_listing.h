// NameListing: the replies of KEYS and SCAN, which list names. It examines some hundred names per
// step, then writes the matches.
//
// A name that exists throughout is listed exactly once; a name that is added or removed during the
// listing, at most once. A listing that one call of Look() completes is a consistent snapshot.
//
// Thread safety: as LongReply.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "server/dispatch/long_reply.h"
#include "store/store.h"

namespace sluice::server {

struct NameFilter {
  std::optional<std::string> glob;
  std::optional<store::NameKind> kind;  // kNone: no name matches
};

class NameListing final : public LongReply {
 public:
  struct Page {
    std::uint64_t from = 0;
    std::size_t names_max = SIZE_MAX;  // names to examine
    bool with_cursor = false;          // SCAN: [next cursor, names]
  };
  // All arguments except the filter are borrowed.
  NameListing(engine::Engine& engine, const Clock& clock, engine::Guarded<store::Store> store,
              NameFilter filter, const Page& page);

  // Fetches some names under the engine lock and examines them without it. Returns whether there
  // are more.
  bool Look(engine::Engine::Turn& turn);
  // As LongReply. REQUIRES: the engine lock is not held.
  bool Write(resp::Reply& reply) override;

 private:
  [[nodiscard]] bool Fits(const store::NamePage::Listed& listed) const;

  engine::Engine& engine_;
  const Clock& clock_;
  engine::Guarded<store::Store> store_;
  NameFilter filter_;
  Page page_;  // `from` and `names_max` advance with each step
  bool looking_ = true;
  bool head_written_ = false;
  store::NamePage fetched_;  // scratch
  std::vector<Text> fit_;    // the names that match
  std::size_t written_ = 0;  // number of names of fit_ already written
};

}  // namespace sluice::server
