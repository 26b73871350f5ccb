// The page of KV.SHOW: one row, for people. Its form may change; programs use KV.MGET.
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
  bool whole = false;  // more values: one field was asked for
};

// `read`: the row's ready fields. `torch` is null where libtorch was not built in: then, and where
// it does not load, the page says so in place of statistics.
std::string RowPage(const RowPageHead& head, const store::ReadResult& read,
                    store::TorchLoader* torch);

}  // namespace sluice::server
