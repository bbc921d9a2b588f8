// Catch2's main function. It stands alone here, because it takes longer to compile than any of the
// tests.
#define CATCH_CONFIG_MAIN
#include <catch2/catch.hpp>
