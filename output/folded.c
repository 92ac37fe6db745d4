// SPDX-License-Identifier: GPL-2.0-only
/*
 * Folded stacks for flame graphs, "vm;vcpu 0;kvm;reason 1234": where the time of the run went, in
 * nanoseconds. Each is in one line. A table of columns that add up to a whole (COL_STACK) is a
 * vCPU's budget; rows of tables that are of one state (view.state) split that state as far as they
 * go.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "format.h"
#include "frames.h"

static const char suffix[] = "_ns";

/* What a row of a state says: so much of it was for that. */
struct part {
	const struct view *view;
	char *frames; /* ";reason;detail" */
	char *class;  /* or NULL */
	bool is_idle;
	uint64_t ns;
};

struct state {
	const char *name;
	size_t len;
	uint64_t ns; /* by the budget */
};

/* All of one vCPU, or of what the rows are of. */
struct stack {
	struct row row;
	char *vm; /* or NULL */
	bool has_vcpu;
	struct state *budget;
	size_t nr_states;
	struct part *parts;
	size_t nr_parts;
};

struct folded {
	struct stack *stacks;
	size_t nr;
	size_t last;
	bool in_total;
};

static void no_memory(struct output *out)
{
	out->err = out->err ?: ENOMEM;
}

/* What a row says of a state, or of several. */
static bool is_time(const struct section *section, const struct column *col)
{
	return col->role == ROLE_COUNTER && section__has_data(section, col) &&
	       (col->flags & (section->view->state ? COL_FRAME : COL_STACK));
}

static bool has_state(const struct column *columns, const struct view *view, unsigned int view_bit)
{
	const struct section section = { .view = view, .view_bit = view_bit };

	for (const struct column *col = columns; col->name; col++)
		if (is_time(&section, col))
			return !view->again;
	return false;
}

/* Collecting */

static bool is_of(const struct stack *stack, const struct row *row, bool has_vcpu)
{
	if (stack->row.vm_nr != row->vm_nr || stack->has_vcpu != has_vcpu ||
	    (has_vcpu && stack->row.vcpu != row->vcpu) || !stack->vm != !row->vm)
		return false;
	return !row->vm || (stack->row.pid == row->pid && !strcmp(stack->vm, row->vm));
}

/* Rows of one come together, and in much the same order from table to table. */
static struct stack *get_stack(struct output *out, const struct row *row)
{
	const struct section *section = &out->section;
	struct folded *folded = out->state;
	bool has_vcpu = section->view->per_vcpu && row->vcpu != UINT32_MAX &&
			section->merged == MERGED_NOTHING;
	struct stack *stacks, *stack;

	for (size_t i = 0; i < folded->nr; i++) {
		size_t at = (folded->last + i) % folded->nr;

		if (!is_of(&folded->stacks[at], row, has_vcpu))
			continue;
		folded->last = at;
		return &folded->stacks[at];
	}
	stacks = reallocarray(folded->stacks, folded->nr + 1, sizeof(*stacks));
	if (!stacks) {
		no_memory(out);
		return NULL;
	}
	folded->stacks = stacks;
	stack = &stacks[folded->nr];
	*stack = (struct stack){ .row = *row, .has_vcpu = has_vcpu };
	if (row->vm) {
		stack->vm = strdup(row->vm);
		if (!stack->vm) {
			no_memory(out);
			return NULL;
		}
	}
	folded->last = folded->nr++;
	return stack;
}

static void add_state(struct output *out, struct stack *stack, const struct column *col,
		      uint64_t ns)
{
	size_t len = strlen(col->name), rest = strlen(suffix);
	struct state *budget =
		reallocarray(stack->budget, stack->nr_states + 1, sizeof(*stack->budget));

	if (!budget) {
		no_memory(out);
		return;
	}
	if (len > rest && !strcmp(col->name + len - rest, suffix))
		len -= rest;
	stack->budget = budget;
	budget[stack->nr_states++] = (struct state){ col->name, len, ns };
}

/* In a stack ';' is between frames, and a line is one. */
static void mend(struct buf *buf, size_t from)
{
	buf__neutralise(buf, from);
	for (size_t i = from; !buf->failed && i < buf->len; i++)
		if (buf->data[i] == ';')
			buf->data[i] = ':';
}

static void add_frames(struct buf *buf, const struct section *section, const struct row *row)
{
	for (const struct column *col = section->columns; col->name; col++) {
		size_t from = buf->len;

		if (col->role != ROLE_LABEL || !(col->flags & COL_FRAME) ||
		    !section__has(section, col))
			continue;
		buf__putc(buf, ';');
		buf__label(buf, col, row);
		if (buf->len == from + 1)
			buf->len = from;
		else
			mend(buf, from + 1);
	}
}

static bool is_idle(const struct section *section, const struct row *row)
{
	bool flag;

	for (const struct column *col = section->columns; col->name; col++)
		if (col->type == COL_BOOL && (col->flags & COL_IDLE) &&
		    (!col->views || (col->views & section->view_bit)))
			return cell__bool(col, row, &flag) && flag;
	return false;
}

static const char *class_of(const struct section *section, const struct row *row)
{
	for (const struct column *col = section->columns; col->name; col++)
		if ((col->flags & COL_CLASS) && section__has_data(section, col))
			return cell__string(col, row);
	return NULL;
}

static void add_part(struct output *out, struct stack *stack, const struct row *row, uint64_t ns)
{
	const struct section *section = &out->section;
	const char *class = class_of(section, row);
	struct part *parts = reallocarray(stack->parts, stack->nr_parts + 1, sizeof(*stack->parts));
	struct part *part;

	if (!parts) {
		no_memory(out);
		return;
	}
	stack->parts = parts;
	part = &parts[stack->nr_parts];
	buf__reset(&out->line);
	buf__add(&out->line, "", 0);
	add_frames(&out->line, section, row);
	*part = (struct part){
		.view = section->view,
		.frames = out->line.failed ? NULL : strdup(out->line.data),
		.class = class ? strdup(class) : NULL,
		.is_idle = section->view->idle && is_idle(section, row),
		.ns = ns,
	};
	stack->nr_parts++;
	if (!part->frames || (class && !part->class))
		no_memory(out);
}

static void folded_row(struct output *out, const struct row *row, unsigned int flags)
{
	const struct section *section = &out->section;
	const struct folded *folded = out->state;
	struct stack *stack = NULL;
	uint64_t ns;

	if (out->err || flags || !folded->in_total || section->scope != SCOPE_TOTAL)
		return;
	for (const struct column *col = section->columns; col->name; col++) {
		if (!is_time(section, col) || !cell__number(col, row, &ns))
			continue;
		stack = stack ?: get_stack(out, row);
		if (!stack)
			return;
		if (section->view->state)
			add_part(out, stack, row, ns);
		else
			add_state(out, stack, col, ns);
	}
}

/* Settling: each nanosecond once. */

static bool is_same(const char *a, const char *b)
{
	return a && b && !strcmp(a, b);
}

/* Of views of one state the last one is the finest: the others say the same. */
static void drop_coarse(struct stack *stack)
{
	for (size_t i = 0; i < stack->nr_parts; i++)
		for (size_t j = 0; j < stack->nr_parts; j++)
			if (stack->parts[j].view > stack->parts[i].view &&
			    is_same(stack->parts[j].view->state, stack->parts[i].view->state)) {
				stack->parts[i].ns = 0;
				break;
			}
}

/* The longest one that holds the time of another view's part; of its class, or of any. */
static struct part *holder_of(const struct stack *stack, const struct part *held, bool of_class)
{
	struct part *longest = NULL;

	for (size_t i = 0; i < stack->nr_parts; i++) {
		struct part *part = &stack->parts[i];

		if (!part->ns || !is_same(part->view->holds, held->view->state) ||
		    (of_class && !is_same(part->class, held->class)))
			continue;
		if (!longest || longest->is_idle > part->is_idle ||
		    (longest->is_idle == part->is_idle && longest->ns < part->ns))
			longest = part;
	}
	return longest;
}

static void take_from(struct stack *stack, const struct part *held, uint64_t *left, bool of_class)
{
	struct part *holder;

	while (*left && (holder = holder_of(stack, held, of_class))) {
		uint64_t ns = holder->ns < *left ? holder->ns : *left;

		holder->ns -= ns;
		*left -= ns;
	}
}

/* What one view's rows are of is in the time of another's, too. By class where it can be. */
static void take_what_is_held(struct output *out, struct stack *stack)
{
	uint64_t *left = calloc(stack->nr_parts + 1, sizeof(*left));

	if (!left) {
		no_memory(out);
		return;
	}
	for (size_t i = 0; i < stack->nr_parts; i++) {
		left[i] = stack->parts[i].ns;
		take_from(stack, &stack->parts[i], &left[i], true);
	}
	for (size_t i = 0; i < stack->nr_parts; i++)
		take_from(stack, &stack->parts[i], &left[i], false);
	free(left);
}

static const char *state_of(const struct part *part)
{
	return part->is_idle ? part->view->idle : part->view->state;
}

static bool is_state(const struct state *state, const char *name)
{
	return strlen(name) == state->len && !strncmp(state->name, name, state->len);
}

static struct state *find_state(const struct stack *stack, const char *name)
{
	for (size_t i = 0; i < stack->nr_states; i++)
		if (is_state(&stack->budget[i], name))
			return &stack->budget[i];
	return NULL;
}

/*
 * Exits last while the vCPU waits for a CPU, which the budget has elsewhere: where they are
 * together more than their state, each is so much less. What they are less is the state's own.
 */
static void fit_into(struct stack *stack, struct state *state)
{
	uint64_t sum = 0, taken = 0;

	for (size_t i = 0; i < stack->nr_parts; i++)
		if (is_state(state, state_of(&stack->parts[i])))
			sum += stack->parts[i].ns;
	for (size_t i = 0; i < stack->nr_parts; i++) {
		struct part *part = &stack->parts[i];

		if (!is_state(state, state_of(part)))
			continue;
		if (sum > state->ns)
			part->ns = (unsigned __int128)part->ns * state->ns / sum;
		taken += part->ns;
	}
	state->ns -= taken;
}

static void settle(struct output *out, struct stack *stack)
{
	drop_coarse(stack);
	take_what_is_held(out, stack);
	for (size_t i = 0; i < stack->nr_states; i++)
		fit_into(stack, &stack->budget[i]);
	/* A budget is all there is. */
	for (size_t i = 0; stack->nr_states && i < stack->nr_parts; i++)
		if (!find_state(stack, state_of(&stack->parts[i])))
			stack->parts[i].ns = 0;
}

/* Writing */

static bool is_twice(const struct folded *folded, const struct stack *stack)
{
	for (size_t i = 0; i < folded->nr; i++)
		if (is_same(folded->stacks[i].vm, stack->vm) &&
		    (folded->stacks[i].row.vm_nr != stack->row.vm_nr ||
		     folded->stacks[i].row.pid != stack->row.pid))
			return true;
	return false;
}

/* "web", "web (4242)" if there is another one, and its vCPU. */
static void write_owner(struct output *out, const struct stack *stack)
{
	struct buf *line = &out->line;

	buf__puts(line, stack->vm ?: "host");
	if (stack->row.pid != UINT32_MAX && stack->vm && is_twice(out->state, stack))
		buf__printf(line, " (%u)", stack->row.pid);
	mend(line, 0);
	if (stack->has_vcpu)
		buf__printf(line, ";vcpu %u", stack->row.vcpu);
	buf__putc(line, ';');
}

static void write_line(struct output *out, const struct stack *stack, const char *state, size_t len,
		       const char *frames, uint64_t ns)
{
	if (!ns)
		return;
	buf__reset(&out->line);
	write_owner(out, stack);
	buf__add(&out->line, state, len);
	buf__puts(&out->line, frames);
	buf__putc(&out->line, ' ');
	buf__number(&out->line, ns);
	buf__putc(&out->line, '\n');
	if (out->line.failed)
		no_memory(out);
	else
		output__write(out, out->line.data, out->line.len);
}

static void write_stack(struct output *out, const struct stack *stack)
{
	for (size_t i = 0; i < stack->nr_states; i++)
		write_line(out, stack, stack->budget[i].name, stack->budget[i].len, "",
			   stack->budget[i].ns);
	for (size_t i = 0; i < stack->nr_parts; i++)
		write_line(out, stack, state_of(&stack->parts[i]),
			   strlen(state_of(&stack->parts[i])), stack->parts[i].frames,
			   stack->parts[i].ns);
}

static void forget_stacks(struct folded *folded)
{
	for (size_t i = 0; i < folded->nr; i++) {
		struct stack *stack = &folded->stacks[i];

		for (size_t j = 0; j < stack->nr_parts; j++) {
			free(stack->parts[j].frames);
			free(stack->parts[j].class);
		}
		free(stack->parts);
		free(stack->budget);
		free(stack->vm);
	}
	free(folded->stacks);
	*folded = (struct folded){};
}

static void folded_begin_window(struct output *out, enum scope scope, uint64_t since_ns,
				uint64_t now_ns)
{
	struct folded *folded = out->state;

	(void)since_ns;
	(void)now_ns;
	folded->in_total = scope == SCOPE_TOTAL;
}

static void folded_end_window(struct output *out)
{
	struct folded *folded = out->state;

	for (size_t i = 0; !out->err && i < folded->nr; i++)
		settle(out, &folded->stacks[i]);
	for (size_t i = 0; !out->err && i < folded->nr; i++)
		write_stack(out, &folded->stacks[i]);
	forget_stacks(folded);
}

static void folded_free(struct output *out)
{
	forget_stacks(out->state);
}

const struct output_ops folded_ops = {
	.name = "folded",
	.suffix = "folded",
	.state_size = sizeof(struct folded),
	.begin_window = folded_begin_window,
	.end_window = folded_end_window,
	.row = folded_row,
	.free = folded_free,
	.has = has_state,
	.is_picture = true,
};
