// The text of INFO.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "server/arguments/request.h"
#include "server/dispatch/context.h"

namespace sluice::server {

// Append the sections Partitions and Tasks. REQUIRES: the engine lock is held.
void PartitionsSection(const Context& context, fmt::memory_buffer& out);
void TasksSection(const Context& context, fmt::memory_buffer& out);

// Returns the named sections in the order of the server: "# Section" and lines "name:value", each
// ending in CRLF. "all" and "everything" select all sections; "default" or no name selects all
// except Commandstats and Holds. Unknown sections are ignored. REQUIRES: the engine lock is held.
std::string InfoText(const Context& context, RequestView sections);

}  // namespace sluice::server
