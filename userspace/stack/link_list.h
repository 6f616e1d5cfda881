// SPDX-License-Identifier: MIT
// Doubly linked lists whose links live in the elements: nothing is allocated, and an element leaves its list in O(1)
// without knowing which list it is. One element may be in several lists at once, one for each tag.
#pragma once

#include <cassert>

namespace weir::stack {

template <class Tag>
class Link {
 public:
  Link() = default;
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;
  ~Link() { unlink(); }

  bool linked() const { return next_ != nullptr; }
  void unlink() {
    if (!linked()) return;
    prev_->next_ = next_;
    next_->prev_ = prev_;
    prev_ = next_ = nullptr;
  }

 private:
  template <class T, class U>
  friend class LinkList;
  Link* prev_ = nullptr;
  Link* next_ = nullptr;
};

// T derives from Link<Tag>. A list does not own its elements, which leave it when they are destroyed.
template <class T, class Tag>
class LinkList {
  using L = Link<Tag>;

 public:
  LinkList() { head_.prev_ = head_.next_ = &head_; }
  LinkList(const LinkList&) = delete;
  LinkList& operator=(const LinkList&) = delete;
  ~LinkList() {
    clear();
    head_.prev_ = head_.next_ = nullptr;
  }

  bool empty() const { return head_.next_ == &head_; }
  T& front() {
    assert(!empty());
    return static_cast<T&>(*head_.next_);
  }
  const T& front() const {
    assert(!empty());
    return static_cast<const T&>(*head_.next_);
  }
  void push_back(T& element) { insert_before(head_, element); }
  void push_front(T& element) { insert_before(*head_.next_, element); }
  // Null where the list is empty.
  T* pop_front() {
    if (empty()) return nullptr;
    T& element = front();
    static_cast<L&>(element).unlink();
    return &element;
  }
  void clear() {
    while (pop_front() != nullptr) {}
  }
  // All of `other`'s elements, behind ours.
  void take(LinkList& other) {
    while (T* element = other.pop_front()) push_back(*element);
  }
  template <class F>
  void for_each(F&& f) const {
    for (const L* at = head_.next_; at != &head_; at = at->next_) f(static_cast<const T&>(*at));
  }

 private:
  static void insert_before(L& where, L& link) {
    assert(!link.linked());
    link.prev_ = where.prev_;
    link.next_ = &where;
    where.prev_->next_ = &link;
    where.prev_ = &link;
  }

  L head_;
};

}  // namespace weir::stack
