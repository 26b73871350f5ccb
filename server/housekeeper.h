// Housekeeper: the server's background thread. It touches payload memory ahead of need, gives free
// memory beyond `arena-keep` back to the system, removes names whose time is up, and moves the few
// live values out of large blobs (store/compaction.h). It holds the engine for one small step at a
// time.
//
// Thread safety: make and destroy it on one thread.
#pragma once

#include <condition_variable>
#include <thread>

#include "base/mutex.h"
#include "server/dispatch/context.h"
#include "store/compaction.h"
#include "store/removed_names.h"

namespace sluice::server {

class Housekeeper {
 public:
  // `server` is borrowed.
  explicit Housekeeper(Server& server);
  ~Housekeeper();  // stops and joins
  Housekeeper(const Housekeeper&) = delete;
  Housekeeper& operator=(const Housekeeper&) = delete;

 private:
  void Run();
  bool CareForArena();
  void Expire();
  std::int64_t EndLeases();
  void Compact();
  void NoteHold(engine::Engine::Turn& turn);  // which ends
  [[nodiscard]] bool Stopping();
  bool StopWithin(int milliseconds);

  Server& server_;
  store::Compaction compaction_;
  Mutex mutex_;
  std::condition_variable_any wake_;
  bool stop_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace sluice::server
