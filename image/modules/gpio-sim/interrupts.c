// SPDX-License-Identifier: GPL-2.0-only
// The kernel's irq_sim.c for a module: irq_to_desc() is not exported to one, what it is made of here is.
#include <linux/irq.h>
#include <linux/irqdesc.h>

#define irq_to_desc(irq) irq_data_to_desc(irq_get_irq_data(irq))

#include "irq_sim.c"
