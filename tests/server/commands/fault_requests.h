// The requests of command_faults_test.cc, by command. A command of the table without a request
// fails the test.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace sluice::server {

const std::multimap<std::string, std::vector<std::string>>& FaultRequests();

}  // namespace sluice::server
