// KeyWatchers: WATCH: which clients are to be told when what a name stands for changes.
//
// Thread safety: one caller at a time (the engine).
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "store/name_listener.h"

namespace sluice::server {

struct Client;

class KeyWatchers final : public store::NameListener {
 public:
  // Until it is forgotten, a change of `name` makes the client's transaction dirty. False: it was
  // watched already. Errors: std::bad_alloc; nothing changed then.
  bool Watch(std::string_view name, Client& client);
  // REQUIRES: the client watches it.
  void Forget(std::string_view name, Client& client) noexcept;
  void ForgetAll(Client& client) noexcept;

  void NameChanged(std::string_view name) noexcept override;
  void AllGoes(store::Store& before) noexcept override;

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const {
      return std::hash<std::string_view>()(text);
    }
  };
  std::unordered_map<std::string, std::vector<Client*>, Hash, std::equal_to<>> by_name_;
};

}  // namespace sluice::server
