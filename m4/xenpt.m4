# SPDX-License-Identifier: GPL-2.0-or-later

# XENPT_NEED_LIB(NAME, DEBIAN-PACKAGE, HEADER, LIBRARY, FUNCTION)
# A library that has no .pc file everywhere and that every build needs.
AC_DEFUN([XENPT_NEED_LIB],
[AC_CHECK_HEADER([$3], [],
	[AC_MSG_ERROR([$3 is needed: install $2])])
save_LIBS=$LIBS
AC_SEARCH_LIBS([$5], [$4], [],
	[AC_MSG_ERROR([lib$4 with $5() is needed: install $2])])
LIBS=$save_LIBS
AS_TR_CPP([$1])_LIBS="-l$4"
AC_SUBST(AS_TR_CPP([$1])[_LIBS])])

# XENPT_WITH(NAME, PURPOSE): --with-NAME, yes, no or auto.
AC_DEFUN([XENPT_WITH],
[AC_ARG_WITH([$1], [AS_HELP_STRING([--with-$1], [$2 @<:@auto@:>@])],
	[], [with_$1=auto])
AS_CASE([$with_$1], [yes|no|auto], [],
	[AC_MSG_ERROR([--with-$1 is yes, no or auto, not "$with_$1"])])])

# XENPT_HAVE(NAME, FOUND, DEBIAN-PACKAGE, VERSION): draw the conclusion.
AC_DEFUN([XENPT_HAVE],
[AS_IF([test "$2" = yes],
	[with_$1=yes
	 AC_DEFINE([HAVE_]AS_TR_CPP([$1]), [1], [Built with $1.])
	 AC_DEFINE_UNQUOTED([VERSION_]AS_TR_CPP([$1]), ["$4"],
			    [The version of $1.])],
	[AS_IF([test "$with_$1" = yes],
	       [AC_MSG_ERROR([--with-$1 was given, but it was not found: install $3])])
	 with_$1=no])
AM_CONDITIONAL([HAVE_]AS_TR_CPP([$1]), [test "$with_$1" = yes])])

# XENPT_WITH_PKG(NAME, DEBIAN-PACKAGE, PKG-CONFIG-MODULES, PURPOSE)
AC_DEFUN([XENPT_WITH_PKG],
[XENPT_WITH([$1], [$4])
xenpt_found=no
AS_IF([test "$with_$1" != no],
      [PKG_CHECK_MODULES(AS_TR_CPP([$1]), [$3], [xenpt_found=yes], [:])])
xenpt_version=
AS_IF([test "$xenpt_found" = yes],
      [xenpt_version=`$PKG_CONFIG --modversion "$3" | sed 1q`])
XENPT_HAVE([$1], [$xenpt_found], [$2], [$xenpt_version])])

# XENPT_WITH_LIB(NAME, DEBIAN-PACKAGE, HEADER, LIBRARY, FUNCTION, PURPOSE)
AC_DEFUN([XENPT_WITH_LIB],
[XENPT_WITH([$1], [$6])
xenpt_found=no
AS_IF([test "$with_$1" != no],
      [AC_CHECK_HEADER([$3],
	[AC_CHECK_LIB([$4], [$5],
		[xenpt_found=yes; AS_TR_CPP([$1])_LIBS="-l$4"])])])
AC_SUBST(AS_TR_CPP([$1])[_LIBS])
XENPT_HAVE([$1], [$xenpt_found], [$2], [yes])])

# XENPT_ENABLE_SANITIZER(OPTION, SANITIZER)
AC_DEFUN([XENPT_ENABLE_SANITIZER],
[AC_ARG_ENABLE([$1], [AS_HELP_STRING([--enable-$1], [build with -fsanitize=$2])],
	[], [enable_$1=no])
AS_IF([test "$enable_$1" = yes],
      [CFLAGS="$CFLAGS -fsanitize=$2 -fno-omit-frame-pointer"
       AS_IF([test "$2" = undefined],
	     [CFLAGS="$CFLAGS -fno-sanitize-recover=undefined"])])])
