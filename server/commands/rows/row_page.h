// The human-readable page of KV.SHOW about one row. Its format may change; programs use KV.MGET.
#pragma once

#include <string>
#include <string_view>

#include "store/partition/rows.h"

namespace sluice::store {
class TorchLoader;
}

namespace sluice::server {

struct RowPageHead {
  std::string_view partition;
  std::string_view key;
  std::string_view tag;
  bool whole = false;  // one field was requested: show more values
};

// `read` holds the ready fields of the row. `torch` is null if the server was built without
// libtorch. Without libtorch, or if it fails to load, the page says so in place of statistics.
std::string RowPage(const RowPageHead& head, const store::ReadResult& read,
                    store::TorchLoader* torch);

}  // namespace sluice::server
