// Gradients of rows and elements; ../training/rows.h has the definitions.
#include "rows.h"

#include "../training/rows.h"
