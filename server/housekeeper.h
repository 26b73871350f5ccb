// Housekeeper: the server's background thread. It prefaults payload memory, gives free memory
// beyond `arena-keep` back to the system, removes expired names, and moves the few live values out
// of large blobs (store/compaction.h). It holds the engine lock for one small step at a time.
//
// Thread safety: create and destroy it on one thread.
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
  void LoadTorch();
  void NoteHold(engine::Engine::Turn& turn);  // ends the hold
  [[nodiscard]] bool Stopping();
  bool StopWithin(int milliseconds);

  Server& server_;
  store::Compaction compaction_;
  Mutex mutex_;
  std::condition_variable_any wake_;
  bool stop_ GUARDED_BY(mutex_) = false;
  std::int64_t commands_ = 0;  // at the last walk
  bool torch_tried_ = false;
  std::thread torch_;  // loads libtorch
  std::thread thread_;
};

}  // namespace sluice::server
