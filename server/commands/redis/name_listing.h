// NameListing: the replies that list names: KEYS and SCAN. Names are looked at some hundred at a
// time, and then written.
//
// What is there throughout is listed exactly once, what comes or goes meanwhile at most once; a
// listing that one call of Look() completes is of one moment.
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
  std::optional<store::NameKind> kind;  // kNone: nothing fits
};

class NameListing final : public LongReply {
 public:
  struct Page {
    std::uint64_t from = 0;
    std::size_t names_max = SIZE_MAX;  // to be looked at
    bool with_cursor = false;          // SCAN: [next cursor, names]
  };
  // All but the filter are borrowed.
  NameListing(engine::Engine& engine, const Clock& clock, engine::Guarded<store::Store> store,
              NameFilter filter, const Page& page);

  // Fetches some names, with the engine, and looks at them without it. True: there are more.
  bool Look(engine::Engine::Turn& turn);
  // As LongReply. REQUIRES: not the engine.
  bool Write(resp::Reply& reply) override;

 private:
  [[nodiscard]] bool Fits(const store::NamePage::Listed& listed) const;

  engine::Engine& engine_;
  const Clock& clock_;
  engine::Guarded<store::Store> store_;
  NameFilter filter_;
  Page page_;  // `from` and `names_max` go on
  bool looking_ = true;
  bool head_written_ = false;
  store::NamePage fetched_;  // scratch
  std::vector<Text> fit_;    // names
  std::size_t written_ = 0;  // of them
};

}  // namespace sluice::server
