// The counts of a task in the replies of TASK.STATUS and PARTITION.INFO.
#pragma once

#include <cstdint>
#include <optional>

#include "controller/stream.h"
#include "resp/reply.h"

namespace sluice::server {

inline constexpr std::size_t kTaskReportPairs = 6;
// Appends kTaskReportPairs names and values.
void ReplyTaskReport(const controller::TaskReport& report, resp::Reply& reply);
// Replies with null if the value is missing.
void ReplyOptional(std::optional<std::int64_t> number, resp::Reply& reply);

}  // namespace sluice::server
