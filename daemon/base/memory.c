/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Giving memory back; see memory.h. */
#include "memory.h"
#include "macros.h"

#include <elf.h>
#include <link.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

void memory_trim(void)
{
	malloc_trim(0);
}

/* Whether the linker has written into the object's code: such pages exist nowhere else. */
static bool has_text_relocations(const struct dl_phdr_info *info)
{
	for (size_t i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];
		const ElfW(Dyn) * d;

		if (p->p_type != PT_DYNAMIC)
			continue;
		for (d = (const ElfW(Dyn) *)(info->dlpi_addr + p->p_vaddr); d->d_tag != DT_NULL;
			d++)
			if (d->d_tag == DT_TEXTREL ||
				(d->d_tag == DT_FLAGS && d->d_un.d_val & DF_TEXTREL))
				return true;
	}
	return false;
}

/* Segments that may not be written to are as they are in the file: the kernel can read them anew.
 */
static int drop_object(struct dl_phdr_info *info, size_t size, void *userdata)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

	if (has_text_relocations(info))
		return 0;
	for (size_t i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];
		uintptr_t begin = info->dlpi_addr + p->p_vaddr, end = begin + p->p_filesz;

		if (p->p_type != PT_LOAD || p->p_flags & PF_W || !p->p_filesz)
			continue;
		/* The end is left alone: the linker may have put the next segment onto that page.
		 * An error (the vDSO is no file) leaves things as they are. */
		begin &= ~(page - 1);
		end &= ~(page - 1);
		if (end > begin)
			(void)madvise((void *)begin, end - begin, MADV_DONTNEED);
	}
	return 0;
}

void memory_drop_code(void)
{
	dl_iterate_phdr(drop_object, NULL);
}
