// LiveViews: the views of a partition's tasks that have read rows and are kept up to date, least
// recently used first.
//
// Each of them costs a check of every row that is written. So a view in which nobody waits is
// emptied if too many others were used since; it reads the rows again when it is next used.
//
// Thread safety: one caller at a time (the holder of the engine lock).
#pragma once

#include <algorithm>
#include <cstddef>

#include <boost/intrusive/list.hpp>

#include "controller/view.h"

namespace sluice::controller {

class LiveViews {
 public:
  static constexpr std::size_t kIdleMax = 32;

  // The view is used now: it is live until too many others were used.
  void Use(View& view) noexcept {
    const bool was_live = view.IsLive();
    view.in_live.unlink();
    if (!was_live) {
      view.Restart();  // it was not notified of changes
      EmptyIdle();
    }
    views_.push_back(view);
  }
  template <typename Function>
  void ForEach(const Function& function) noexcept {
    for (View& view : views_) {
      function(view);
    }
  }

 private:
  // Makes room for one more. A view that still reads rows stays: its command would never end if
  // others could take from it what it has read.
  void EmptyIdle() noexcept {
    const auto idle = [](const View& view) { return view.Complete() && view.Waiters() == 0; };
    auto count = static_cast<std::size_t>(std::count_if(views_.begin(), views_.end(), idle));
    for (auto it = views_.begin(); it != views_.end() && count >= kIdleMax;) {
      View& view = *it;
      ++it;
      if (idle(view)) {
        view.in_live.unlink();
        view.Restart();
        view.rebuilt = false;  // TASK.RESET must not read rows into it
        --count;
      }
    }
  }

  boost::intrusive::list<View, boost::intrusive::member_hook<View, View::Hook, &View::in_live>,
                         boost::intrusive::constant_time_size<false>>
      views_;
};

}  // namespace sluice::controller
