// Gradients of rows, elements and attention; ../training has the definitions.
#include "rows.h"

#include "../training/attention.h"
#include "../training/rows.h"
