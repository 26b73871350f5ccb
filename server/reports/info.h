// The text of INFO.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "server/arguments/request.h"
#include "server/dispatch/context.h"

namespace sluice::server {

// Two of the sections. REQUIRES: the engine is held.
void PartitionsSection(const Context& context, fmt::memory_buffer& out);
void TasksSection(const Context& context, fmt::memory_buffer& out);

// The sections named ("all", "everything", "default" or none: all of them), in our order: "#
// Section" and lines "name:value", each ending in CRLF. An unknown section adds nothing. REQUIRES:
// the engine is held.
std::string InfoText(const Context& context, RequestView sections);

}  // namespace sluice::server
